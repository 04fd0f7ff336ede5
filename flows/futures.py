"""Handles of submitted task runs."""

from flows.sdk.futures import DoneAndNotDone, FutureList, TaskFuture, as_completed, wait
from flows.sdk.inputs import as_states, resolved

# The names that Prefect users annotate with.
PrefectFuture = TaskFuture
PrefectFutureList = FutureList

# Prefect's names for: futures replaced by their results or states, anywhere in a collection.
resolve_futures_to_results = resolved
resolve_futures_to_states = as_states

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
