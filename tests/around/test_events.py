"""Events: emitted by flows, made of flow-run states, read through the API."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from flows.events import emit_event
from flows.models import Deployment
from flows.sdk import backend
from flows.sdk.ids import uuid7
from flows.sdk.states import Cancelled, Failed
from runs.models import Event, TaskRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.around.conftest import Around
from tests.factories import make_run
from tests.portal.fixtures import Caller

ORDER = {"prefect.resource.id": "order.7", "prefect.resource.name": "Order 7"}
EVENTS = "/api/events/"


def emitted(**fields: Any) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    return {"id": str(uuid7()), "occurred": moment, "event": "order.paid", "resource": ORDER, **fields}


def test_a_script_emits_an_event(weather: Deployment) -> None:
    first = emit_event("order.made", ORDER)
    paid = emit_event(
        "order.paid",
        ORDER,
        related=[{"prefect.resource.id": "customer.1", "prefect.resource.role": "customer"}],
        payload={"amount": 3, "when": datetime(2026, 1, 1, tzinfo=UTC)},
        follows=first,
    )

    stored = Event.objects.get(id=paid.id)
    assert (stored.event, stored.resource_id, stored.resource) == ("order.paid", "order.7", ORDER)
    assert stored.payload == {"amount": 3, "when": "2026-01-01T00:00:00Z"}
    assert stored.related[0]["prefect.resource.role"] == "customer"
    assert stored.follows == first.id and stored.occurred == paid.occurred


def test_the_same_event_is_stored_once(weather: Deployment) -> None:
    paid = emit_event("order.paid", ORDER)
    emit_event("order.paid", ORDER, occurred=paid.occurred, id=paid.id)

    assert Event.objects.filter(id=paid.id).count() == 1


def test_without_a_portal_an_event_is_heard_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_portal_here", None)

    assert emit_event("order.paid", ORDER).event == "order.paid"


def test_a_refused_event_does_not_end_the_flow(weather: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    emit_event("x" * 301, ORDER)

    assert "could not be sent" in caplog.text


@pytest.mark.parametrize("wrong", [{"resource": {}}, {"resource": ORDER, "occurred": datetime(2026, 1, 1)}])
def test_an_event_is_checked_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"prefect\.resource\.id|time zone"):
        emit_event("order.paid", **wrong)


@pytest.mark.django_db
def test_every_state_of_a_flow_run_is_an_event() -> None:
    run = make_run()
    ended = Cancelled(message="enough")
    transition(DjangoSession(), run.id, ended)
    transition(DjangoSession(), run.id, Failed())  # refused, so nothing happened

    events = Event.objects.filter(resource_id=f"prefect.flow-run.{run.id}").order_by("occurred")
    assert [each.event for each in events] == ["prefect.flow-run.Scheduled", "prefect.flow-run.Cancelled"]
    last = events[1]
    assert (last.id, last.occurred, last.workspace_id) == (ended.id, ended.timestamp, run.workspace_id)
    assert last.resource["prefect.state-message"] == "enough"
    roles = {each["prefect.resource.role"]: each["prefect.resource.id"] for each in last.related}
    assert roles["deployment"] == f"prefect.deployment.{run.deployment_id}"


def test_the_list_is_filtered_and_paged(operator: Caller, viewer: Caller, foreigner: Caller) -> None:
    old = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    events = [emitted(), emitted(event="order.made"), emitted(occurred=old)]
    assert operator.post(EVENTS, {"events": events}).json() == {"stored": 3}
    assert operator.post(EVENTS, {"events": events}).json() == {"stored": 0}

    def shown(**query: Any) -> list[str]:
        return [each["event"] for each in viewer.get(EVENTS, **query).json()["results"]]

    assert shown() == ["order.made", "order.paid"]
    assert shown(event="order.paid") == ["order.paid"]
    assert shown(event="order.paid", since=old) == ["order.paid", "order.paid"]
    assert shown(resource="order.8") == []
    assert len(shown(limit=1)) == 1
    assert foreigner.get(EVENTS).json()["results"] == []


@pytest.mark.parametrize(
    "wrong",
    [{"resource": {}}, {"event": ""}, {"occurred": "soon"}, {"id": "7"}, {"payload": [1]}, {"related": [1]}],
)
def test_bad_events_are_refused(operator: Caller, viewer: Caller, wrong: dict[str, Any]) -> None:
    assert operator.post(EVENTS, {"events": [emitted(**wrong)]}).status_code == 422
    assert viewer.post(EVENTS, {"events": [emitted(id=str(uuid4()))]}).status_code == 403


@pytest.mark.processes
def test_an_event_from_a_run_is_related_to_it(around: Around) -> None:
    around.agent()
    run = around.ended(around.new("shop"))

    event = Event.objects.get(event="order.paid")
    task = TaskRun.objects.get(flow_run=run)
    assert {each["prefect.resource.id"] for each in event.related} == {
        f"prefect.flow-run.{run.id}",
        f"prefect.task-run.{task.id}",
    }
    states = Event.objects.filter(resource_id=f"prefect.flow-run.{run.id}").order_by("occurred")
    names = [each.event.removeprefix("prefect.flow-run.") for each in states]
    assert names == ["Scheduled", "Pending", "Running", "Completed"]
