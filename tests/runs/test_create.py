"""Creating runs."""

from datetime import UTC, datetime, timedelta

import pytest

from runs import announce
from runs.create import MOST_HINTS, NewRun, create_flow_run, create_flow_runs
from runs.models import FlowRun
from tests.factories import make_deployment

pytestmark = pytest.mark.django_db


def test_a_run_takes_parameters_and_tags_from_its_deployment() -> None:
    deployment = make_deployment(parameters={"year": 2012, "city": "Seattle"}, tags=["nightly"])
    run = create_flow_run(deployment, parameters={"year": 2013}, tags=["manual"])
    assert run.parameters == {"year": 2013, "city": "Seattle"}
    assert run.tags == ["nightly", "manual"]
    assert run.states.get().type == run.state_type == "SCHEDULED"


def test_the_same_idempotency_key_gives_the_same_run() -> None:
    deployment = make_deployment()
    first = create_flow_run(deployment, idempotency_key="order-7")
    assert create_flow_run(deployment, idempotency_key="order-7") == first
    assert create_flow_run(deployment, idempotency_key="order-8") != first


def test_a_slot_makes_one_run() -> None:
    deployment = make_deployment()
    schedule = deployment.schedules.create(cron="0 2 * * *")
    slot = datetime(2026, 3, 1, 2, tzinfo=UTC)
    news = [NewRun.of(deployment, schedule_id=schedule.id, slot=slot, scheduled_time=slot) for _ in range(2)]
    assert len(create_flow_runs(news)) == 1
    assert create_flow_runs(news[1:]) == []


def test_only_due_runs_ring(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    rings: list[object] = []
    monkeypatch.setattr(announce, "_ring", rings.append)
    deployment = make_deployment()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        create_flow_run(deployment)
        create_flow_run(deployment, scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    assert rings == [deployment.work_queue_id]


def test_many_runs_are_one_statement_and_a_bounded_number_of_rings(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
    django_assert_max_num_queries: object,
) -> None:
    rings: list[object] = []
    monkeypatch.setattr(announce, "_ring", rings.append)
    deployment = make_deployment()
    with (
        django_capture_on_commit_callbacks(execute=True),  # type: ignore[operator]
        django_assert_max_num_queries(4),  # type: ignore[operator]
    ):
        assert len(create_flow_runs([NewRun.of(deployment) for _ in range(300)])) == 300
    assert len(rings) == MOST_HINTS
    assert FlowRun.objects.count() == 300
