"""What changed in a run since a page last looked: task runs and log lines behind two cursors.

A cursor is text that the page hands back as it got it. Rows are arrays, in the order of `TASK_FIELDS` and
`LOG_FIELDS`: five thousand tasks must not cost five thousand times their field names.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import getLevelName
from typing import Any, Self
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.utils import timezone

from runs.logs import of_run
from runs.models import FlowRun, Log, TaskRun
from runs.models.flow_run import TERMINAL

TASKS_AT_ONCE = 2_000
LINES_AT_ONCE = 2_000
TASK_MESSAGE_CHARACTERS = 300
LOG_MESSAGE_CHARACTERS = 8_000
# A process stamps its lines in many threads and writes them in batches: one that is a little older than
# the last one read may still come, so each read begins this much earlier. The page drops what it has.
OVERLAP = timedelta(seconds=0.5)
FIRST = UUID(int=0)

TASK_FIELDS = (
    "id", "name", "task_key", "state_type", "state_name", "start_time", "end_time", "run_count", "head",
)  # fmt: skip
LOG_FIELDS = ("id", "timestamp", "level", "task_run_id", "head")


class BadCursorError(ValueError):
    """A cursor that no page was given."""


@dataclass(frozen=True, slots=True)
class Cursors:
    """Where a page stands: the last task change (version, id) and log line (time, id) that it has."""

    task: tuple[int, UUID] = (-1, FIRST)
    log: tuple[datetime, UUID] | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Self:
        """Read off `since_version` and `after_log`; both may be missing. Raises BadCursorError."""
        try:
            version, _, task = query.get("since_version", "-1").partition("~")
            time, _, line = query.get("after_log", "").partition("~")
            since = (max(-1, min(int(version), 2**63 - 1)), UUID(task) if task else FIRST)
            return cls(since, (datetime.fromisoformat(time), UUID(line)) if time else None)
        except ValueError as error:
            raise BadCursorError(f"since_version or after_log is not a cursor: {error}") from None


def changes_of(run: FlowRun, cursors: Cursors) -> dict[str, Any]:
    """The run, and the tasks and lines behind `cursors`; `more` says to ask again at once.

    Without a log cursor the newest lines come; `earlier` is the cursor of the older ones that were left out.
    """
    tasks = _tasks(run, cursors.task)
    lines, earlier = _lines(run, cursors.log)
    last = (tasks[-1]["version"], tasks[-1]["id"]) if tasks else cursors.task
    more_lines = cursors.log is not None and len(lines) == LINES_AT_ONCE
    return {
        "run": _run(run),
        "tasks": [row(task, TASK_FIELDS) for task in tasks],
        "since_version": f"{last[0]}~{last[1]}",
        "logs": [row(line, LOG_FIELDS) for line in lines],
        "after_log": _after(run, lines, cursors.log, exact=more_lines),
        "earlier": earlier,
        "more": more_lines or len(tasks) == TASKS_AT_ONCE,
    }


async def log_lines_as_text(run: FlowRun) -> AsyncIterator[str]:
    """Every log line as text, page by page: a million lines must not be held at once."""
    after: tuple[datetime, UUID] | None = None
    while True:
        lines = await sync_to_async(_page_of_lines)(run, after)
        yield "".join(_line_as_text(*line) for line in lines)
        if len(lines) < LINES_AT_ONCE:
            return
        after = lines[-1][:2]


def _line_as_text(timestamp: datetime, id: UUID, level: int, message: str) -> str:
    return f"{timestamp.isoformat(timespec='milliseconds')} {getLevelName(level):<8} {message}\n"


def _page_of_lines(
    run: FlowRun, after: tuple[datetime, UUID] | None
) -> list[tuple[datetime, UUID, int, str]]:
    lines = of_run(run).values_list("timestamp", "id", "level", "message")
    return list((_behind(lines, after) if after else lines)[:LINES_AT_ONCE])


def _run(run: FlowRun) -> dict[str, Any]:
    return {
        "id": str(run.id),
        "version": run.version,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "is_over": run.state_type in TERMINAL,
        "now": _milliseconds(timezone.now()),
        "start": _milliseconds(run.start_time),
        "end": _milliseconds(run.end_time),
    }


def _tasks(run: FlowRun, since: tuple[int, UUID]) -> list[dict[str, Any]]:
    version, id = since
    rows = TaskRun.objects.filter(Q(version__gt=version) | Q(version=version, id__gt=id), flow_run=run)
    rows = rows.annotate(head=Left("state_message", TASK_MESSAGE_CHARACTERS)).order_by("version", "id")
    return list(rows.values(*TASK_FIELDS, "version")[:TASKS_AT_ONCE])


def _lines(run: FlowRun, after: tuple[datetime, UUID] | None) -> tuple[list[dict[str, Any]], str]:
    lines = of_run(run).annotate(head=Left("message", LOG_MESSAGE_CHARACTERS)).values(*LOG_FIELDS)
    if after is not None:
        return list(_behind(lines, after)[:LINES_AT_ONCE]), ""
    newest = list(lines.reverse()[: LINES_AT_ONCE + 1])
    shown = newest[:LINES_AT_ONCE][::-1]
    return shown, cursor_of(shown[0]) if len(newest) > LINES_AT_ONCE else ""


def _behind(lines: "QuerySet[Log, Any]", last: tuple[datetime, UUID]) -> "QuerySet[Log, Any]":
    # `gte` besides: PostgreSQL prunes partitions by it, not by the two alternatives.
    return lines.filter(
        Q(timestamp__gt=last[0]) | Q(timestamp=last[0], id__gt=last[1]), timestamp__gte=last[0]
    )


def _after(
    run: FlowRun, lines: list[dict[str, Any]], before: tuple[datetime, UUID] | None, *, exact: bool
) -> str:
    """The next log cursor: behind the last line while there are more, else `OVERLAP` before it."""
    if exact:
        return cursor_of(lines[-1])
    if lines:
        return f"{(lines[-1]['timestamp'] - OVERLAP).isoformat()}~{FIRST}"
    return f"{before[0].isoformat()}~{before[1]}" if before else ""


def cursor_of(line: Mapping[str, Any]) -> str:
    """The text by which a page asks for what is before or behind this line."""
    return f"{line['timestamp'].isoformat()}~{line['id']}"


def row(values: dict[str, Any], fields: tuple[str, ...]) -> list[Any]:
    """The values of these fields as JSON holds them."""
    return [_plain(values[name]) for name in fields]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _milliseconds(value)
    return str(value) if isinstance(value, UUID) else value


def _milliseconds(time: datetime | None) -> float | None:
    """Unix time, as JavaScript counts it."""
    return round(time.timestamp() * 1000, 1) if time else None
