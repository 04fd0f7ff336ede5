from runs.models.artifact import Artifact
from runs.models.backfill import Backfill, BackfillCell
from runs.models.errand import Errand
from runs.models.event import Event
from runs.models.flow_run import FlowRun, FlowRunState
from runs.models.limit import ConcurrencyLimit, Slot, Waiter
from runs.models.log import Log
from runs.models.result import Result, ResultLock
from runs.models.retention import RetentionPolicy
from runs.models.run_input import RunInput
from runs.models.run_stats import RunStats
from runs.models.task_run import BackgroundTask, TaskRun, TaskRunState

__all__ = [
    "Artifact",
    "Backfill",
    "BackfillCell",
    "BackgroundTask",
    "ConcurrencyLimit",
    "Errand",
    "Event",
    "FlowRun",
    "FlowRunState",
    "Log",
    "Result",
    "ResultLock",
    "RetentionPolicy",
    "RunInput",
    "RunStats",
    "Slot",
    "TaskRun",
    "TaskRunState",
    "Waiter",
]
