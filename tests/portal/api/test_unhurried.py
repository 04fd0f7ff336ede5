"""What a server must be able to finish, however long the history: its statements have no time limit."""

from collections.abc import Callable

import pytest
from django.db import connection

from agents.models import WorkQueue
from agents.pools import delete_queue
from flows.catalog.schedules import replace_schedules
from flows.models import Schedule
from runs.models import FlowRun
from runs.removal import delete_run
from tests.factories import default_workspace, make_deployment, make_queue, make_run

pytestmark = pytest.mark.django_db


def remove_schedule() -> None:
    Schedule.objects.create(deployment=make_deployment(), cron="* * * * *").delete()


def deploy_without_schedule() -> None:
    deployment = make_deployment()
    Schedule.objects.create(deployment=deployment, cron="* * * * *")
    replace_schedules(deployment, [])
    assert not Schedule.objects.exists()


def delete_used_queue() -> None:
    queue = make_queue("other")
    make_run(make_deployment(queue=queue))
    delete_queue(queue, force=True)
    assert not WorkQueue.objects.filter(id=queue.id).exists()


def delete_large_run() -> None:
    delete_run(make_run().id, lambda run: None)
    assert not FlowRun.objects.exists()


@pytest.mark.parametrize(
    "change", [remove_schedule, deploy_without_schedule, delete_used_queue, delete_large_run]
)
def test_a_change_of_much_may_take_its_time(change: Callable[[], None]) -> None:
    default_workspace()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '15s'")

        change()

        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
