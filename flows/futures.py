"""Handles of submitted task runs."""

from flows.sdk.futures import FutureList, TaskFuture, as_completed, wait

__all__ = ["FutureList", "TaskFuture", "as_completed", "wait"]
