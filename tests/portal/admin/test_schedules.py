"""Schedules and calendars in the admin: the same checks as in the API, and a look ahead."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from flows.models import Calendar, Deployment, Schedule, Workspace
from tests.portal.fixtures import deployment_in

pytestmark = pytest.mark.django_db
Member = Callable[[str], Client]
ADD = "/admin/flows/schedule/add/"
PREVIEW = "/admin/flows/schedule/preview/"


def filled(deployment: Deployment, **fields: Any) -> dict[str, Any]:
    """The form as a browser sends it."""
    return {
        "deployment": deployment.id, "active": "on", "day_or": "on", "timezone": "Europe/Berlin",
        "anchor_date_0": "2020-01-01", "anchor_date_1": "00:00", "calendar_policy": "skip",
        "parameters": "{}", "missed_runs": "latest", "missed_at_most": "100", "cron": "", "rrule": "",
        "interval": "", "slug": "", "calendar": "",
    } | fields  # fmt: skip


@pytest.fixture
def bank(workspace: Workspace) -> Calendar:
    made: Calendar = Calendar.objects.create(workspace=workspace, name="bank", weekdays=[1, 2, 3, 4, 5])
    return made


def test_an_editor_adds_and_changes_a_schedule(
    member: Member, deployment: Deployment, bank: Calendar
) -> None:
    editor = member("editor")

    added = editor.post(ADD, filled(deployment, cron="0 6 * * *", slug="daily", calendar=bank.id))
    schedule = Schedule.objects.get()
    changed = editor.post(
        f"/admin/flows/schedule/{schedule.id}/change/",
        filled(deployment, rrule="FREQ=WEEKLY", slug="weekly"),
    )

    assert (added.status_code, changed.status_code) == (302, 302)
    assert (str(schedule), schedule.calendar) == ("daily: 0 6 * * * Europe/Berlin", bank)
    schedule.refresh_from_db()
    assert (str(schedule), schedule.calendar) == ("weekly: FREQ=WEEKLY Europe/Berlin", None)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({}, "either cron, interval or rrule"),
        ({"cron": "61 * * * *"}, "cannot be read"),
        ({"cron": "0 6 * * *", "interval": "00:05:00"}, "either cron, interval or rrule"),
        ({"cron": "0 6 * * *", "timezone": "Mars/Base"}, "is not a time zone"),
        ({"interval": "00:00:00"}, "too short"),
        ({"interval": "00:05:00", "anchor_date_0": "soon"}, "Enter a valid date"),
        ({"rrule": "FREQ=SECONDLY"}, "would flood"),
        ({"cron": "0 6 * * *", "parameters": "[]"}, "Write an object"),
        ({"cron": "0 6 * * *", "missed_at_most": "0"}, "missed_at_most must be 1 or more"),
        ({"cron": "0 6 * * 6", "calendar": "bank"}, "leaves nothing of this schedule"),
    ],
)
def test_what_the_api_would_refuse_is_refused(
    superuser: Client, deployment: Deployment, bank: Calendar, wrong: dict[str, str], text: str
) -> None:
    fields = {**wrong, "calendar": bank.id} if "calendar" in wrong else wrong

    saved = superuser.post(ADD, filled(deployment, **fields))
    previewed = superuser.post(PREVIEW, filled(deployment, **fields))

    assert text in saved.content.decode()
    assert text in previewed.content.decode()
    assert saved.content.decode().count("either cron, interval or rrule") <= 1
    assert not Schedule.objects.exists()


def test_the_page_and_the_preview_show_what_lies_ahead(
    superuser: Client, deployment: Deployment, bank: Calendar
) -> None:
    superuser.post(ADD, filled(deployment, cron="0 6 * * *", calendar=bank.id, calendar_policy="move"))
    schedule = Schedule.objects.get()

    own = superuser.get(f"/admin/flows/schedule/{schedule.id}/change/").content.decode()
    of_deployment = superuser.get(f"/admin/flows/deployment/{deployment.id}/change/").content.decode()
    unsaved = superuser.post(PREVIEW, filled(deployment, interval="01:00:00")).content.decode()

    for page in (own, of_deployment):
        assert page.count('class="moment"') == 20
        assert "Saturday does not count in &#x27;bank&#x27;" in page
        assert "moved:" in page
    assert unsaved.count('class="moment"') == 20


def test_viewers_look_and_outsiders_see_nothing(
    member: Member, outsider: Client, deployment: Deployment, bank: Calendar
) -> None:
    schedule = Schedule.objects.create(deployment=deployment, cron="@daily")
    page, viewer = f"/admin/flows/schedule/{schedule.id}/change/", member("viewer")

    assert viewer.get(page).status_code == 200
    assert viewer.post(page, filled(deployment, cron="@hourly")).status_code == 403
    assert viewer.post(ADD, filled(deployment, cron="@hourly")).status_code == 403
    assert outsider.get(page).status_code == 302
    assert outsider.post(PREVIEW, filled(deployment, cron="@hourly")).status_code == 404
    assert "Select a valid choice" in outsider.post(ADD, filled(deployment, cron="@daily")).content.decode()
    assert outsider.get(f"/admin/flows/calendar/{bank.id}/change/").status_code == 302


def test_a_calendar_of_another_workspace_cannot_be_chosen(
    superuser: Client, deployment: Deployment, elsewhere: Workspace
) -> None:
    other = Calendar.objects.create(workspace=elsewhere, name="bank")
    schedule = Schedule.objects.create(deployment=deployment, cron="@daily")

    added = superuser.post(ADD, filled(deployment, cron="@daily", calendar=other.id))
    changed = superuser.post(
        f"/admin/flows/schedule/{schedule.id}/change/", filled(deployment, cron="@daily", calendar=other.id)
    )

    assert "belongs to another workspace" in added.content.decode()
    assert "Select a valid choice" in changed.content.decode()


def test_one_may_not_schedule_where_one_only_looks(
    member: Member, elsewhere: Workspace, deployment: Deployment
) -> None:
    from django.contrib.auth import get_user_model

    from flows.models import Membership

    editor = member("editor")
    user = get_user_model().objects.get(username="editor-default")
    Membership.objects.create(user=user, workspace=elsewhere, role="viewer")
    foreign = deployment_in(elsewhere)

    answer = editor.post(ADD, filled(foreign, cron="@daily"))

    assert "Select a valid choice" in answer.content.decode()


def test_a_calendar_is_written_by_hand(superuser: Client, workspace: Workspace) -> None:
    good = {
        "workspace": workspace.id, "name": "bank", "timezone": "UTC", "weekdays": ["1", "5"],
        "holidays": "2026-12-25, 2026-12-26\n2027-01-01", "blackouts": '[{"from": "22:00", "to": "04:00"}]',
    }  # fmt: skip
    bad = {"holidays": "christmas", "blackouts": '[{"from": "22:00"}]', "timezone": "Mars", "weekdays": []}

    refused = [superuser.post("/admin/flows/calendar/add/", good | {name: bad[name]}) for name in bad]
    added = superuser.post("/admin/flows/calendar/add/", good)

    assert [answer.status_code for answer in refused] == [200] * 4
    assert added.status_code == 302
    calendar = Calendar.objects.get()
    assert (calendar.weekdays, len(calendar.holidays), len(calendar.blackouts)) == ([1, 5], 3, 1)
    page = superuser.get(f"/admin/flows/calendar/{calendar.id}/change/").content.decode()
    assert "2026-12-25\n2026-12-26" in page
    assert "Mon, Fri" in superuser.get("/admin/flows/calendar/").content.decode()
