"""Older log lines of a run, and a search in all of them: backwards from where the page stands, by keyset.

A search looks at a window of lines at a time, so that a log of millions costs many short requests instead of
a long one. The page goes on until it has enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Left

from portal.pages.run_changes import LOG_FIELDS, LOG_MESSAGE_CHARACTERS, BadCursorError, cursor_of, row
from runs.logs import of_run
from runs.models import FlowRun, Log, TaskRun

LINES_AT_ONCE = 2_000
WINDOW = 100_000
MOST_CHARACTERS = 1_000
MOST_LEVEL = 32_767
LONGEST_STATEMENT = "5s"  # of lines that are a megabyte each

Cursor = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Lines before `before` (time, id): with `text` in them, of this level or above, of tasks called so."""

    before: Cursor
    text: str = ""
    level: int = 0
    task: str = ""

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Self:
        """Read off a query. Raises BadCursorError."""
        time, _, id = query.get("before", "").partition("~")
        try:
            before = datetime.fromisoformat(time), UUID(id)
            before[0].timestamp()
            level = min(int(query.get("level") or 0), MOST_LEVEL)
        except (ValueError, OverflowError) as error:
            raise BadCursorError(f"before is not a cursor, or level not a number: {error}") from None
        text, task = (str(query.get(name, ""))[:MOST_CHARACTERS] for name in ("text", "task"))
        return cls(before, text, level, task)

    @property
    def is_search(self) -> bool:
        return bool(self.text or self.task or self.level > 0)


def older_lines(run: FlowRun, wanted: Wanted) -> dict[str, Any]:
    """The newest of the lines that are wanted, oldest first, and where to go on (`before`; "": nowhere).

    Raises OperationalError when the database takes too long over it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [LONGEST_STATEMENT])
        lines, before = _searched(run, wanted) if wanted.is_search else _paged(run, wanted)
    return {"logs": [row(line, LOG_FIELDS) for line in reversed(lines)], "before": before}


def _paged(run: FlowRun, wanted: Wanted) -> tuple[list[dict[str, Any]], str]:
    newest = _read(_before(of_run(run), wanted.before))
    lines = newest[:LINES_AT_ONCE]
    return lines, cursor_of(lines[-1]) if len(newest) > LINES_AT_ONCE else ""


def _searched(run: FlowRun, wanted: Wanted) -> tuple[list[dict[str, Any]], str]:
    lines = _before(of_run(run), wanted.before)
    last = lines.reverse().values("timestamp", "id")[WINDOW - 1 : WINDOW].first()
    if last is not None:
        lines = lines.filter(timestamp__gte=last["timestamp"]).exclude(
            timestamp=last["timestamp"], id__lt=last["id"]
        )
    found = _read(_matching(run, lines, wanted))
    if len(found) > LINES_AT_ONCE:
        return found[:LINES_AT_ONCE], cursor_of(found[LINES_AT_ONCE - 1])
    return found, cursor_of(last) if last else ""


def _matching(run: FlowRun, lines: "QuerySet[Log, Any]", wanted: Wanted) -> "QuerySet[Log, Any]":
    if "\0" in wanted.text + wanted.task:  # PostgreSQL has no such text
        return lines.none()
    if wanted.level > 0:
        lines = lines.filter(level__gte=wanted.level)
    if wanted.text:
        lines = lines.filter(message__icontains=wanted.text)
    if wanted.task:
        named = TaskRun.objects.filter(flow_run=run, name__icontains=wanted.task)
        lines = lines.filter(task_run_id__in=named.values("id"))
    return lines


def _before(lines: "QuerySet[Log, Any]", cursor: Cursor) -> "QuerySet[Log, Any]":
    # `lte` besides: PostgreSQL prunes partitions by it, not by the two alternatives.
    return lines.filter(
        Q(timestamp__lt=cursor[0]) | Q(timestamp=cursor[0], id__lt=cursor[1]), timestamp__lte=cursor[0]
    )


def _read(lines: "QuerySet[Log, Any]") -> list[dict[str, Any]]:
    """The newest first, one more than are shown."""
    heads = lines.annotate(head=Left("message", LOG_MESSAGE_CHARACTERS))
    return list(heads.reverse().values(*LOG_FIELDS)[: LINES_AT_ONCE + 1])
