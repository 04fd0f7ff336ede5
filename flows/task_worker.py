"""Processes that run background tasks."""

from flows.sdk.task_worker import TaskWorker, serve

__all__ = ["TaskWorker", "serve"]
