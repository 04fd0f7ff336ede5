"""Logging of runs: loggers of the standard kind whose records go to the run's recorder.

Run loggers are adapters over two loggers, `flows.flow_runs` and `flows.task_runs`. Their records also
propagate to the logger `flows`, so that logging set up by others sees them; where nothing is set up,
lines go to stderr when a flow is called outside an agent.
"""

import builtins
import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.sdk.context import (
    FlowRunContext,
    MissingContextError,
    TaskRunContext,
    current_flow,
    current_task,
)
from flows.sdk.recorder import LogLine, Recorder

if TYPE_CHECKING:
    from flows.sdk.task_run import TakesLines

RunLogger = logging.LoggerAdapter[logging.Logger]


# What get_run_logger() returns in a hook, which runs beside the run and not within it.
logger_of_hook: ContextVar[RunLogger | None] = ContextVar("logger_of_hook", default=None)

_root = logging.getLogger("flows")
_text = logging.Formatter()


class _RunLogger(logging.Logger):
    """Hands its records to the recorder of their run, before any handler.

    It is not registered with `logging`: user code that sets up logging (`dictConfig` removes handlers and
    disables loggers) must not cut a run off from its log. The level is that of `flows`, or INFO.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.parent = _root

    def getEffectiveLevel(self) -> int:
        return _root.level or logging.INFO

    def isEnabledFor(self, level: int) -> bool:
        """Not cached, as `logging` would not know to forget it."""
        return level >= self.getEffectiveLevel() and level > self.manager.disable

    def callHandlers(self, record: logging.LogRecord) -> None:
        fields = record.__dict__
        recorder: TakesLines | None = fields.get("recorder")
        if recorder is not None:
            when = datetime.fromtimestamp(record.created, UTC)
            text = _text.format(record)
            recorder.log(
                LogLine(fields["flow_run_id"], fields["task_run_id"], when, record.levelno, record.name, text)
            )
        if self.hasHandlers():
            super().callHandlers(record)


_flow_runs = _RunLogger("flows.flow_runs")
_task_runs = _RunLogger("flows.task_runs")


class _Console(logging.Formatter):
    """One readable line: time, level, run, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d | %(levelname)-7s | %(run)s%(message)s", "%H:%M:%S")
        self._shown = 0, ""  # a second, and how it reads: thousands of lines may come from one

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second, text = self._shown
        if second != int(record.created):
            second, text = int(record.created), super().formatTime(record, datefmt)
            self._shown = second, text
        return text

    def format(self, record: logging.LogRecord) -> str:
        title = getattr(record, "run_title", "")
        record.__dict__["run"] = f"{title} - " if title else ""
        return super().format(record)


class _Adapter(RunLogger):
    """Adds the run to each record, and keeps what the caller passes as `extra`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


def log_to_stderr() -> None:
    """Show lines of the logger `flows` on stderr, unless logging was set up by somebody."""
    if not _root.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_Console())
        _root.addHandler(handler)


def flow_logger(context: FlowRunContext) -> RunLogger:
    """The logger of a flow run."""
    return logger_of_run(context.recorder, context.run.id, f"Flow run {context.run.name!r}")


def logger_of_run(recorder: Recorder, flow_run_id: Any, title: str) -> RunLogger:
    """As `flow_logger`, for a run whose function is not under way."""
    extra = {
        "recorder": recorder,
        "flow_run_id": flow_run_id,
        "task_run_id": None,
        "run_title": title,
    }
    return _Adapter(_flow_runs, extra)


def task_logger(context: TaskRunContext) -> RunLogger:
    """The logger of a task run; outside flows, only those of background tasks are kept."""
    extra = {
        "recorder": context.lines,
        "flow_run_id": context.flow_run_id,
        "task_run_id": context.id,
        "run_title": f"Task run {context.name!r}",
    }
    return _Adapter(_task_runs, extra)


def get_run_logger(context: FlowRunContext | TaskRunContext | None = None) -> RunLogger:
    """The logger of the task run or flow run that surrounds the caller, or of that `context`.

    In a hook, that of the run it was called for. Raises MissingContextError outside runs.
    """
    if context is not None:
        return task_logger(context) if isinstance(context, TaskRunContext) else flow_logger(context)
    if hook := logger_of_hook.get():
        return hook
    if task := current_task.get():
        return task_logger(task)
    if flow := current_flow.get():
        return flow_logger(flow)
    raise MissingContextError(
        "There is no run to log for here. Call get_run_logger() inside a flow or task, "
        "or use logging.getLogger(__name__) elsewhere."
    )


_silent: RunLogger = logging.LoggerAdapter(logging.Logger("flows.silent", logging.CRITICAL + 1))


def get_logger(name: str | None = None) -> logging.Logger:
    """A logger of one's own, below "flows"; its lines are no run's."""
    return logging.getLogger(f"flows.{name}" if name else "flows")


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Let `get_run_logger` work outside runs; what is logged goes nowhere. For tests of bare functions."""
    token = logger_of_hook.set(_silent)
    try:
        yield
    finally:
        logger_of_hook.reset(token)


_print = builtins.print


def _print_to_log(*values: Any, sep: str | None = " ", end: str | None = "\n", **options: Any) -> None:
    """`print` that logs, as long as the surrounding run has `log_prints` and the target is stdout."""
    to_stdout = options.get("file") in (None, sys.stdout)
    if to_stdout and _prints_are_logged():
        get_run_logger().info("%s", (" " if sep is None else sep).join(map(str, values)))
    else:
        _print(*values, sep=sep, end=end, **options)


def _prints_are_logged() -> bool:
    task, flow = current_task.get(), current_flow.get()
    if task is not None and task.task.log_prints is not None:
        return task.task.log_prints
    return flow is not None and flow.log_prints


def capture_prints() -> None:
    """Put our `print` in the place of the built-in one, once and for good: it asks at each call."""
    builtins.print = _print_to_log
