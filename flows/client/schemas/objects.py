"""Objects that flow code names in its annotations and options."""

from flows.sdk.deployment_options import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from flows.sdk.run_deployment import FlowRun
from flows.sdk.states import TERMINAL as TERMINAL_STATES
from flows.sdk.states import State, StateType
from flows.sdk.task_run import TaskRun

__all__ = [
    "TERMINAL_STATES",
    "ConcurrencyLimitConfig",
    "ConcurrencyLimitStrategy",
    "FlowRun",
    "State",
    "StateType",
    "TaskRun",
]
