"""Which results of earlier attempts a retried run may take: not those from the task on that was chosen."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.sdk.task_run import TaskRun

# Within a subflow that is computed anew as a whole.
all_anew: ContextVar[bool] = ContextVar("all_anew", default=False)


def is_anew(run: "TaskRun") -> bool:
    """Whether this call is to be made although an earlier attempt made it."""
    if run.flow is None:
        return False
    reusable = run.flow.run.reusable
    return all_anew.get() or (reusable is not None and run.key not in reusable)
