"""Portal's SDK: `from flows import flow, task`.

Light to import: no Django, and pydantic only when parameters are checked. The Django app `flows` lives in
the same package (`flows.models`, `flows.catalog`) and is loaded by Django alone.
"""

from typing import TYPE_CHECKING, Any

from flows.sdk.annotations import allow_failure, unmapped
from flows.sdk.context import tags
from flows.sdk.flows import Flow, flow
from flows.sdk.logs import get_run_logger
from flows.sdk.pausing import (
    apause_flow_run,
    aresume_flow_run,
    asuspend_flow_run,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from flows.sdk.states import State
from flows.sdk.tasks import Task, task

if TYPE_CHECKING:
    from flows.sdk.deployments import aserve, deploy, serve

__all__ = [
    "Flow",
    "State",
    "Task",
    "allow_failure",
    "apause_flow_run",
    "aresume_flow_run",
    "aserve",
    "asuspend_flow_run",
    "deploy",
    "flow",
    "get_run_logger",
    "pause_flow_run",
    "resume_flow_run",
    "serve",
    "suspend_flow_run",
    "tags",
    "task",
    "unmapped",
]


def __getattr__(name: str) -> Any:
    """What few flows need and what takes its time to load."""
    if name in {"aserve", "deploy", "serve"}:
        from flows.sdk import deployments

        return getattr(deployments, name)
    raise AttributeError(f"module 'flows' has no attribute {name!r}")
