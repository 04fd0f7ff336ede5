"""What the dashboard puts first: failures that are alike in one line, and who is in quarantine."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from flows.models import Deployment
from portal.pages.attention import MOST_READ, troubles
from runs.models import FlowRun
from tests.factories import default_workspace, make_deployment, make_run

pytestmark = pytest.mark.django_db


def make_bad(deployment: Deployment, message: str, state: str = "FAILED") -> FlowRun:
    """Made a second after those that were made before; in a transaction all have one time."""
    run = make_run(deployment)
    created = run.created - timedelta(hours=1) + timedelta(seconds=FlowRun.objects.count())
    FlowRun.objects.filter(id=run.id).update(
        state_type=state, state_name=state.title(), state_message=message, created=created
    )
    return run


def attention_of(client: Client) -> str:
    return client.get("/admin/").content.decode().partition("Needs attention")[2].partition("</section>")[0]


def test_failures_that_are_alike_are_one_line_with_the_newest(superuser: Client) -> None:
    nightly, hourly = make_deployment("nightly"), make_deployment("hourly")
    for _ in range(3):
        newest = make_bad(nightly, "no such table\nand a trace that differs")
    make_bad(nightly, "no such column")
    make_bad(hourly, "no such table")

    lines = re.findall(r"<tr>.*?</tr>", attention_of(superuser), re.DOTALL)

    assert len(lines) == 3
    of_three = next(line for line in lines if "and 2 like it" in line)
    assert newest.name in of_three
    assert f"?state_type__exact=FAILED&amp;deployment__id__exact={nightly.id}" in of_three


def test_a_crash_is_not_like_a_failure(db: None) -> None:
    deployment = make_deployment()
    make_bad(deployment, "gone")
    make_bad(deployment, "gone", "CRASHED")

    found, has_more = troubles([default_workspace().id])

    assert [(each.newest.state_type, each.count) for each in found] == [("CRASHED", 1), ("FAILED", 1)]
    assert not has_more


def test_no_more_than_the_newest_are_read(db: None) -> None:
    run = make_bad(make_deployment(), "gone")
    FlowRun.objects.bulk_create(_copies(run, MOST_READ))

    found, has_more = troubles([default_workspace().id])

    assert [each.count for each in found] == [MOST_READ]
    assert has_more


def _copies(run: FlowRun, count: int) -> list[FlowRun]:
    run.refresh_from_db()
    same = {
        name: getattr(run, name)
        for name in ("workspace_id", "flow_id", "deployment_id", "name", "state_type", "state_name")
    }
    moments = {"state_timestamp": run.state_timestamp, "expected_start_time": run.expected_start_time}
    return [FlowRun(**same, **moments, state_message=run.state_message) for _ in range(count)]


@pytest.mark.parametrize(("paused", "said"), [(True, True), (False, False)])
def test_a_quarantine_is_named_until_it_is_lifted(superuser: Client, paused: bool, said: bool) -> None:
    deployment = make_deployment("poison")
    Deployment.objects.filter(pk=deployment.pk).update(paused=paused, quarantined=datetime.now(UTC))

    assert (f"/admin/flows/deployment/{deployment.pk}/change/" in attention_of(superuser)) is said
