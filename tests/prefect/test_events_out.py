"""`/api/events/out` and `/api/logs/out`, raw: what is sent first, what next, and to whom."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from websockets.exceptions import InvalidStatus

from flows.catalog.json_text import json_text
from flows.models import Membership, Workspace
from flows.sdk.ids import uuid7
from flows.sdk.recorder import LogLine
from flows.sdk.states import Cancelling, Pending, Running
from portal.live.routing import CLIENT_SOCKETS
from portal.prefect import event_feed, opening
from portal.prefect.tail import NEAR
from runs.batch import record_lines
from runs.events import INSERT, store_events
from runs.models import FlowRun, FlowRunState
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django
from runs.transition import transition
from tests.factories import make_run
from tests.prefect.serving import Serving, revoke_all, serving, token_of
from tests.prefect.sockets import ClientSocket, event
from tests.processes import PATIENCE, RunningStack, wait_until

__all__ = ["serving"]


@contextmanager
def listening(
    serving: Serving, token: str | None = None, since: timedelta = timedelta(minutes=1), **filter: Any
) -> Iterator[ClientSocket]:
    """A socket that has said what it wants to hear of, as Prefect's clients do."""
    now = datetime.now(UTC)
    occurred = {"since": (now - since).isoformat(), "until": (now + timedelta(days=365)).isoformat()}
    with serving.socket("events/out", token) as socket:
        socket.say({"type": "filter", "filter": {"occurred": occurred, "id": {"id": []}, **filter}})
        yield socket


def names(socket: ClientSocket, count: int) -> list[str]:
    """The next events' names."""
    return [socket.hear()["event"]["event"] for _ in range(count)]


def is_silent(socket: ClientSocket) -> bool:
    """Whether nothing comes within a moment."""
    return name_if_any(socket, 0.5) is None


def name_if_any(socket: ClientSocket, seconds: float) -> str | None:
    """The next event's name, or None if none comes in time."""
    with suppress(TimeoutError):
        return str(socket.hear(seconds)["event"]["event"])
    return None


def emit(*events: dict[str, Any], workspace: str = "default") -> None:
    store_events(DjangoSession(), Workspace.objects.get(name=workspace).id, events)


def test_what_is_stored_comes_first_then_what_happens_and_each_once(serving: Serving) -> None:
    run = make_run()
    of_run = {"id": [f"prefect.flow-run.{run.id}"]}

    with listening(serving, any_resource=of_run) as socket:
        assert names(socket, 1) == ["prefect.flow-run.Scheduled"]
        for state in (Pending(), Running()):
            transition(DjangoSession(), run.id, state)
        assert names(socket, 2) == ["prefect.flow-run.Pending", "prefect.flow-run.Running"]
        assert is_silent(socket)


def test_a_runner_hears_of_a_cancelled_run(serving: Serving) -> None:
    run = make_run()
    transition(DjangoSession(), run.id, Running(), force=True)

    with listening(serving, event={"name": ["prefect.flow-run.Cancelling"]}) as socket:
        transition(DjangoSession(), run.id, Cancelling(), force=True)
        heard = socket.hear()["event"]

    assert heard["resource"]["prefect.resource.id"] == f"prefect.flow-run.{run.id}"
    assert heard["resource"]["prefect.state-type"] == "CANCELLING"
    states = FlowRunState.objects.filter(flow_run=run).order_by("-timestamp")
    assert [heard["id"], heard["follows"]] == [str(state.id) for state in states[:2]]


def test_events_of_flows_and_names_that_begin_alike(serving: Serving) -> None:
    with listening(serving, event={"prefix": ["order."]}, resource={"id": ["order.1"]}) as socket:
        emit(event("parcel.sent"), event("order.paid"), event("order.paid", "order.2"))
        assert names(socket, 1) == ["order.paid"]
        assert is_silent(socket)


def test_without_a_backfill_only_what_happens_from_now_on(serving: Serving) -> None:
    emit(event("order.paid"))

    with serving.socket("events/out") as socket:
        socket.say({"type": "filter", "filter": {}, "backfill": False})
        assert wait_until(lambda: heard_after(socket, "order.sent")) == "order.sent"


async def test_what_came_while_a_feed_began_waits_for_no_hint(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "SECONDS_WITHOUT_HINT", 600)
    await sync_to_async(emit)(event("order.paid"))
    workspace = await Workspace.objects.aget(name="default")

    with event_feed.listening(workspace.id) as listener:
        row = await asyncio.wait_for(listener.take(), PATIENCE)

    assert row is not None and row["event"] == "order.paid"


def test_two_sockets_and_a_burst(serving: Serving) -> None:
    events = [event(resource=f"order.{n}") for n in range(3000)]

    with listening(serving) as first, listening(serving) as second:
        for n in range(0, 3000, 500):
            emit(*events[n : n + 500])
        for socket in (first, second):
            heard = [socket.hear()["event"]["id"] for _ in events]
            assert sorted(heard) == sorted(each["id"] for each in events)


def test_what_was_long_under_way_is_heard_among_much_else(serving: Serving) -> None:
    late, elsewhere = event("order.late"), PsycopgSession(conninfo_of_django())
    workspace_id = Workspace.objects.get(name="default").id

    with listening(serving, event={"name": ["order.late"]}) as socket:
        with elsewhere.transaction() as under_way:
            under_way.execute(INSERT, [workspace_id, json_text([late])])
            until = time.monotonic() + 2 * NEAR.total_seconds()
            while time.monotonic() < until:
                emit(event("order.paid"))
        assert wait_until(lambda: heard_after(socket, "order.paid")) == "order.late"


def heard_after(socket: ClientSocket, name: str) -> str | None:
    """The name of what is heard, if anything is, after one more event of this name."""
    emit(event(name))
    return name_if_any(socket, 0.02)


def test_another_workspace_hears_nothing(serving: Serving) -> None:
    stranger = token_of("admin", "elsewhere")

    with listening(serving, stranger) as socket:
        emit(event())
        make_run()
        assert is_silent(socket)


@pytest.mark.parametrize("path", ["events/out", "logs/out"])
@pytest.mark.parametrize(
    "frame", ["7", "no JSON", '{"type": "x"}', '{"type": "filter", "filter": {"event": 7}}']
)
def test_a_bad_filter_closes_the_socket(serving: Serving, path: str, frame: str) -> None:
    with serving.socket(path) as socket:
        socket.say(frame)

        assert socket.closed()[0] == 1002


def test_only_tokens_open_these_sockets(serving: Serving) -> None:
    for path in CLIENT_SOCKETS:
        assert ClientSocket(serving.port, path.removeprefix("api/"), None).closed()[0] == 1008


async def test_a_token_that_ends_closes_the_socket(
    stack: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SECONDS_BETWEEN_CHECKS", 0.01)
    told: list[Any] = []
    socket = opening.Socket({}, AsyncMock(), AsyncMock(side_effect=told.append))
    token = await sync_to_async(token_of)("viewer")
    client = await opening.in_thread(opening.client_of, token, Membership.Role.VIEWER)
    assert isinstance(client, opening.Client)
    await sync_to_async(revoke_all)()

    with pytest.raises(opening.Gone):
        await opening.watched(socket, client, Membership.Role.VIEWER)

    assert [each["code"] for each in told] == [1008]


def test_other_sockets_are_refused_before_they_open(serving: Serving) -> None:
    for path in ("work_pools/px/workers/connect", "task_runs/subscriptions/scheduled", "nothing"):
        with pytest.raises(InvalidStatus) as refused:
            ClientSocket(serving.port, path, serving.token)
        assert refused.value.response.status_code in {403, 404}


def test_log_lines_come_as_they_are_stored(serving: Serving) -> None:
    run, other = make_run(), make_run()

    with serving.socket("logs/out") as socket:
        wanted = {"flow_run_id": {"any_": [str(run.id)]}, "level": {"ge_": 30, "le_": None}, "text": None}
        socket.say({"type": "filter", "filter": {"operator": "and_", "task_run_id": None, **wanted}})
        socket.settle()
        log(run, "one", 30)
        assert socket.hear()["log"]["message"] == "one"
        log(run, "quiet", 20)
        log(other, "other", 40)
        log(run, "two", 40)
        heard = socket.hear()["log"]
        assert (heard["message"], heard["flow_run_id"], heard["level"]) == ("two", str(run.id), 40)


def test_log_lines_of_another_workspace_do_not_come(serving: Serving) -> None:
    run = make_run()
    stranger = token_of("admin", "elsewhere")

    with serving.socket("logs/out", stranger) as socket:
        socket.say({"type": "filter", "filter": {"flow_run_id": {"any_": [str(run.id), str(uuid4())]}}})
        log(run, "secret", 40)
        assert is_silent(socket)


def log(run: FlowRun, message: str, level: int) -> None:
    with DjangoSession().transaction() as tx:
        line = LogLine(run.id, None, datetime.now(UTC), level, "prefect.flow_runs", message)
        record_lines(tx, [(uuid7(), line)])
