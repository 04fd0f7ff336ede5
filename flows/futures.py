"""Handles of submitted task runs."""

from flows.sdk.futures import DoneAndNotDone, FutureList, TaskFuture, as_completed, wait
from flows.sdk.inputs import resolve_futures_to_results, resolve_futures_to_states

# The names that Prefect users annotate with.
PrefectFuture = TaskFuture
PrefectFutureList = FutureList

__all__ = [
    "DoneAndNotDone",
    "FutureList",
    "PrefectFuture",
    "PrefectFutureList",
    "TaskFuture",
    "as_completed",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "wait",
]
