"""Whose results a run goes on with, and which of them: not those from the task on that was chosen."""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.sdk.context import FlowRunContext
    from flows.sdk.task_run import TaskRun

# Within a subflow that is computed anew as a whole.
all_anew: ContextVar[bool] = ContextVar("all_anew", default=False)

# Names the place of a flow run in its tree: a subflow has a new id in each try of its parent.
replay_scope: ContextVar[str] = ContextVar("replay_scope", default="")


def scope_of(flow: "FlowRunContext") -> str:
    """The run for which results are kept: itself, or the earlier one that it goes on with."""
    return replay_scope.get() or str(flow.run.result_scope or flow.run.id)


def is_anew(run: "TaskRun") -> bool:
    """Whether this call is to be made although an earlier attempt made it."""
    if run.flow is None:
        return False
    reusable = run.flow.run.reusable
    return all_anew.get() or (reusable is not None and run.key not in reusable)
