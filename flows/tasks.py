"""Tasks, and helpers for their options."""

from flows.sdk.cache_policies import task_input_hash
from flows.sdk.retries import exponential_backoff
from flows.sdk.tasks import Task, task

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]
