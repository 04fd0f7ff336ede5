"""What many runs wait for, as a list shows it: the first reason of each, by a steady number of queries."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Worker, WorkPool
from agents.services.database import database_time
from agents.waiting import NEEDED, first_reasons, waiting_on
from runs.limits import Wanted, acquire
from runs.models import ConcurrencyLimit, FlowRun
from runs.session import DjangoSession
from tests.agents.services.builders import make_agent, make_schedule, report_success
from tests.factories import default_workspace, lease, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def make_zoo(number: int) -> None:
    """A run for each way to wait, each with a deployment and a queue of its own."""

    def waiting(name: str, **limits: int) -> FlowRun:
        queue = make_queue(f"{name}-{number}")
        return make_run(make_deployment(f"{name}-{number}", queue=queue, **limits), name=f"{name}-{number}")

    def change(run: FlowRun, **fields: object) -> FlowRun:
        FlowRun.objects.filter(id=run.id).update(**fields)
        return run

    waiting("no_agent_online")
    waiting("limit_zero", concurrency_limit=0)
    full = waiting("deployment_limit", concurrency_limit=1)
    lease(make_run(full.deployment, name=f"other-{number}"))
    busy = waiting("agents_busy")
    change(lease(make_run(name=f"burden-{number}")), agent=make_agent(busy.work_queue))
    make_agent(waiting("starting_now").work_queue)
    change(waiting("not_due_yet"), expected_start_time=database_time() + HOUR)
    change(waiting("retry_wait"), expected_start_time=database_time() + HOUR, state_name="AwaitingRetry")
    schedule = make_schedule(cron="0 6 * * *")
    ahead = {"schedule": schedule, "slot": database_time() + HOUR}
    change(waiting("by_schedule"), expected_start_time=database_time() + HOUR, **ahead)
    change(waiting("missed"), schedule=schedule, expected_start_time=database_time() - HOUR)
    change(waiting("paused"), state_type="PAUSED", state_name="Paused")
    change(waiting("cancelling"), state_type="CANCELLING", state_name="Cancelling")
    change(waiting("completed"), state_type="COMPLETED", state_name="Completed")
    polled = WorkPool.objects.create(workspace=default_workspace(), name=f"polled-{number}", type="docker")
    Worker.objects.create(work_pool=polled, name="bert", last_heartbeat_time=database_time())
    make_run(make_deployment(f"polled-{number}", queue=make_queue("q", pool=polled.name)))
    ConcurrencyLimit.objects.create(workspace=default_workspace(), name=f"database-{number}", limit=0)
    slots = change(waiting("slot_wait"), state_type="RUNNING", state_name="Running")
    names = [f"database-{number}"]
    acquire(DjangoSession(), Wanted(slots.workspace_id, uuid4(), names, 1, 60, flow_run_id=slots.id))


def all_runs() -> list[FlowRun]:
    return list(FlowRun.objects.select_related(*NEEDED))


def test_a_list_tells_the_first_of_what_a_run_waits_for() -> None:
    report_success("sweep")
    report_success("materialise", ago=2 * HOUR)
    make_zoo(1)

    found = first_reasons(all_runs())

    for run in all_runs():
        reasons = waiting_on(run)
        if not reasons:
            assert run.id not in found, run.name
            continue
        first, shown = reasons[0], found[run.id]
        assert (shown["code"], shown["link"], shown["fix"]) == (first["code"], first["link"], first["fix"])
        begins = shown["text"].split(" in ")[0]  # how long ahead may differ by now
        assert first["text"].startswith(begins), run.name
    codes = {reason["code"] for reason in found.values()}
    assert codes == {
        "no_agent_online", "limit_zero", "deployment_limit", "agents_busy", "starting_now", "not_due_yet",
        "retry_wait", "missed", "paused", "cancelling", "pool_type", "slot_wait", "picked_by_agent",
    }  # fmt: skip


def test_many_runs_take_as_many_queries_as_few() -> None:
    make_zoo(1)
    few = queries()
    for number in range(2, 5):
        make_zoo(number)

    assert queries() == few <= 14


def queries() -> int:
    runs = all_runs()
    with CaptureQueriesContext(connection) as captured:
        first_reasons(runs)
    return len(captured)


def test_a_list_without_waiting_runs_asks_nothing() -> None:
    FlowRun.objects.filter(id=make_run().id).update(state_type="COMPLETED")
    assert queries() == 0
