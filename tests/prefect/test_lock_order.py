"""Writers of the same runs, at the same time: they lock them in one order, so that none wait in a circle."""

import threading

import pytest
from django.db import connection

from flows.models import Workspace
from portal.prefect.incoming import EVENTS, store
from runs.cancel import cancel
from runs.models import FlowRun
from runs.session import DjangoSession
from tests.factories import make_run
from tests.prefect.runs import prefect_run
from tests.prefect.sockets import task_event
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_reports_of_a_flow_and_its_subflow_wait_for_the_subflow_first() -> None:
    """When a subflow enters a state, its own row is locked, and then its caller's: the stand-in follows."""
    caller, subflow = prefect_run(make_run()), prefect_run(make_run())
    events = EVENTS.validate_python([task_event(caller), task_event(subflow)])
    workspace_id = Workspace.objects.get(name="default").id

    def report() -> None:
        store(workspace_id, events)
        connection.close()

    reporting = threading.Thread(target=report)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM runs_flowrun WHERE id = %s FOR UPDATE", [subflow.id])
        reporting.start()
        wait_until(is_somebody_waiting, what="the report waits for the subflow")
        cursor.execute("SELECT 1 FROM runs_flowrun WHERE id = %s FOR UPDATE NOWAIT", [caller.id])
        cursor.execute("COMMIT")
    reporting.join()
    assert {run.task_runs.count() for run in (caller, subflow)} == {1}


def test_a_root_that_is_killed_waits_for_its_subflow_first() -> None:
    root, subflow = prefect_run(make_run()), prefect_run(make_run())
    FlowRun.objects.filter(id=subflow.id).update(root_run=root)

    def kill() -> None:
        cancel(DjangoSession(), root.id, "somebody", force=True)
        connection.close()

    killing = threading.Thread(target=kill)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM runs_flowrun WHERE id = %s FOR UPDATE", [subflow.id])
        killing.start()
        wait_until(is_somebody_waiting, what="it waits for the subflow")
        cursor.execute("SELECT 1 FROM runs_flowrun WHERE id = %s FOR UPDATE NOWAIT", [root.id])
        cursor.execute("COMMIT")
    killing.join()
    assert set(FlowRun.objects.values_list("state_type", flat=True)) == {"CANCELLED"}
