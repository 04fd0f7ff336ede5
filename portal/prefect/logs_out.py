"""`/api/logs/out`: Prefect's clients follow the log lines of flow runs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from pydantic import AwareDatetime, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from agents.services.database import database_time
from flows.models import Membership
from portal.api.logs.lines import COLUMNS, lines_as_json
from portal.live.asgi_types import Receive, Scope, Send
from portal.live.hints import hints_of
from portal.live.publisher import run_group
from portal.prefect.opening import (
    Client,
    Gone,
    Socket,
    open_socket,
    persistently,
    read_filter,
    while_welcome,
)
from portal.prefect.tail import Key, Rows, Tail
from runs.models import FlowRun, Log

ROLE = Membership.Role.VIEWER
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_WITHOUT_HINT = 2.0
BEFORE = timedelta(minutes=1)  # lines of so long ago still count as new
MOST_RUNS = 50


@dataclass
class Ids:
    """Any of these."""

    any_: Annotated[list[UUID], Field(min_length=1, max_length=MOST_RUNS)]


@dataclass
class Level:
    """At least, and at most."""

    ge_: int | None = None
    le_: int | None = None


@dataclass
class Time:
    """From, and until."""

    after_: AwareDatetime | None = None
    before_: AwareDatetime | None = None


@dataclass
class LiveLogFilter:
    """The lines of these flow runs, perhaps only some of them."""

    flow_run_id: Ids
    task_run_id: Ids | None = None
    level: Level | None = None
    timestamp: Time | None = None

    def includes(self, line: Mapping[str, Any]) -> bool:
        """Whether this line is meant."""
        level, time = self.level or Level(), self.timestamp or Time()
        return (
            (level.ge_ is None or line["level"] >= level.ge_)
            and (level.le_ is None or line["level"] <= level.le_)
            and (self.task_run_id is None or line["task_run_id"] in self.task_run_id.any_)
            and (time.after_ is None or line["timestamp"] >= time.after_)
            and (time.before_ is None or line["timestamp"] <= time.before_)
        )


LOG_FILTER = TypeAdapter(LiveLogFilter)


async def logs_out(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of the socket."""
    with suppress(Gone):
        socket, client = await open_socket(scope, receive, send, ROLE)
        wanted, _ = await read_filter(socket, LOG_FILTER)
        await while_welcome(socket, client, ROLE, _follow(socket, client, wanted))


async def _follow(socket: Socket, client: Client, wanted: LiveLogFilter) -> None:
    """Send the lines as they are stored. Raises Gone."""
    run_ids = await persistently(_visible, client, wanted.flow_run_id.any_)
    tail = _tail_of(run_ids, await persistently(database_time) - BEFORE)
    async with hints_of([run_group(id) for id in run_ids]) as hints:
        while True:
            while lines := await persistently(tail.look):
                for line in lines_as_json(lines):
                    if wanted.includes(line):
                        await socket.tell({"type": "log", "log": line})
            await hints.wait(SECONDS_WITHOUT_HINT)
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


def _visible(client: Client, ids: Sequence[UUID]) -> list[UUID]:
    """Those of the flow runs that the client may see."""
    found = FlowRun.objects.for_actor(client.actor).filter(id__in=ids)
    return list(found.values_list("id", flat=True))


def _tail_of(run_ids: Sequence[UUID], start: datetime) -> Tail:
    """The lines of these runs, by the time at which they were written."""

    def lines(**conditions: Any) -> QuerySet[Any]:
        return Log.objects.filter(flow_run_id__in=run_ids, **conditions).order_by("timestamp", "id")

    def keys_since(since: datetime, most: int) -> Sequence[Key]:
        return list(lines(timestamp__gte=since).values_list("timestamp", "id")[:most])

    def rows_of(keys: Sequence[Key]) -> Rows:
        (first, _), (last, _) = keys[0], keys[-1]
        ids = [id for _, id in keys]
        return list(lines(timestamp__gte=first, timestamp__lte=last, id__in=ids).values(*COLUMNS))

    return Tail(keys_since, rows_of, start)
