"""Log lines as Prefect's clients send them, and ask for them."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Max, Min, Q, QuerySet
from django.utils.timezone import now
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from flows.scoping import Actor
from flows.sdk.ids import uuid7
from flows.sdk.recorder import LogLine
from portal.api.base.moments import Moment
from portal.api.filtering.language import Field as Column
from portal.api.filtering.language import Fields, as_id, as_number, condition, ids, texts, times
from runs.logs import CLOCK_SKEW
from runs.models import FlowRun, Log, TaskRun

LOG: Fields = {
    "level": Column("level", as_number),
    "timestamp": times("timestamp"),
    "flow_run_id": ids("flow_run_id"),
    "task_run_id": ids("task_run_id"),
    "name": texts("name"),
}
SORTS = {
    "TIMESTAMP_ASC": ("timestamp", "id"),
    "TIMESTAMP_DESC": ("-timestamp", "-id"),
}
COLUMNS = ("id", "name", "level", "message", "timestamp", "flow_run_id", "task_run_id")
WITHOUT_RUN = timedelta(days=1)  # what is read when nobody says of which run


@dataclass(slots=True)
class SentLine:
    """A log line of a client; without an id it gets one, and is stored each time it is sent."""

    name: str
    level: Annotated[int, Field(ge=-32768, le=32767)]
    message: str
    timestamp: Moment
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    id: UUID | None = None

    def as_line(self) -> tuple[UUID, LogLine] | None:
        """The line; None if it is of no run. One of a task outside of flows stands under the task run."""
        run_id = self.flow_run_id or self.task_run_id
        if run_id is None:
            return None
        line = LogLine(run_id, self.task_run_id, self.timestamp, self.level, self.name, self.message)
        return self.id or uuid7(), line


LINES = TypeAdapter(Annotated[list[SentLine], Field(max_length=100_000)])


def wanted_lines(sent: Any, actor: Actor) -> QuerySet[Any]:
    """The lines that a client's filter means, bounded in time by the runs it names. Raises InvalidInput."""
    found = Log.objects.for_actor(actor).filter(condition(sent, LOG, "logs"))
    run_ids = _named(sent, "flow_run_id")
    task_run_ids = _named(sent, "task_run_id")
    runs = FlowRun.objects.for_actor(actor)
    if run_ids is not None:
        return found.filter(_during(runs.filter(id__in=run_ids)))
    if task_run_ids is not None:
        tasks = TaskRun.objects.for_actor(actor).filter(id__in=task_run_ids)
        return found.filter(_during(runs.filter(id__in=tasks.values("flow_run_id"))))
    return found if _since(sent) else found.filter(timestamp__gte=now() - WITHOUT_RUN)


def _during(runs: QuerySet[Any]) -> Q:
    """The time in which these runs may have logged."""
    still = Min("created", filter=Q(end_time=None))
    span = runs.aggregate(first=Min("created"), last=Max("end_time"), open=still)
    if span["first"] is None:
        return Q(pk__in=[])
    during = Q(timestamp__gte=span["first"] - CLOCK_SKEW)
    if span["open"] is None:
        during &= Q(timestamp__lte=span["last"] + CLOCK_SKEW)
    return during


def _named(sent: Any, field: str) -> list[UUID] | None:
    """The ids that the filter names for this field; None if it names none."""
    given = sent.get(field) if isinstance(sent, Mapping) else None
    values = given.get("any_") if isinstance(given, Mapping) else None
    return None if values is None else [as_id(each) for each in values]


def _since(sent: Any) -> bool:
    given = sent.get("timestamp") if isinstance(sent, Mapping) else None
    return isinstance(given, Mapping) and given.get("after_") is not None


def lines_as_json(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with `COLUMNS`, under Prefect's names."""
    return [{**row, "created": row["timestamp"], "updated": row["timestamp"]} for row in rows]
