"""Schedules, previews and calendars over HTTP."""

from typing import Any

import pytest

from flows.models import Calendar, Deployment, Schedule
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db

NIGHTLY = {"schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, "slug": "nightly"}
BANK = {"name": "bank", "weekdays": [1, 2, 3, 4, 5], "holidays": ["2031-12-25"], "timezone": "Europe/Berlin"}


def path(deployment: Deployment, rest: str = "") -> str:
    return f"/api/deployments/{deployment.id}/schedules{rest}"


def send(caller: Caller, method: str, url: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {caller.token}"}
    return getattr(caller.client, method)(url, body, content_type="application/json", headers=headers)


def test_schedules_are_added_changed_and_removed_as_prefect_does(
    editor: Caller, deployment: Deployment
) -> None:
    weekly = {"schedule": {"rrule": "FREQ=WEEKLY;BYDAY=MO"}, "parameters": {"year": 2000}}

    made = editor.post(path(deployment), [NIGHTLY, weekly])
    nightly, other = made.json()
    changed = send(editor, "patch", path(deployment, f"/{nightly['id']}"), {"active": False})
    removed = send(editor, "delete", path(deployment, f"/{other['id']}"))

    assert (made.status_code, changed.status_code, removed.status_code) == (201, 204, 204)
    assert other["schedule"] == {"rrule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "UTC"}
    (left,) = editor.get(path(deployment)).json()
    assert (left["id"], left["slug"], left["active"]) == (nightly["id"], "nightly", False)
    assert left["schedule"]["cron"] == "0 3 * * *"


def test_a_change_names_only_what_changes(editor: Caller, deployment: Deployment) -> None:
    editor.post("/api/calendars/", BANK)
    options = {"missed_runs": "all", "missed_within_seconds": 60, "missed_at_most": 5, "calendar": "bank"}
    (made,) = editor.post(path(deployment), [NIGHTLY | options | {"calendar_policy": "move"}]).json()
    url = path(deployment, f"/{made['id']}")

    assert {name: made[name] for name in options} == options
    assert send(editor, "patch", url, {"schedule": {"interval": 90}}).status_code == 204
    assert send(editor, "patch", url, {"calendar": None, "missed_within_seconds": None}).status_code == 204

    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.interval and schedule.interval.total_seconds()) == ("", 90)
    assert (schedule.slug, schedule.missed_runs, schedule.missed_at_most) == ("nightly", "all", 5)
    assert (schedule.calendar, schedule.missed_within_seconds) == (None, None)


def test_a_name_is_given_once(editor: Caller, deployment: Deployment) -> None:
    editor.post(path(deployment), [NIGHTLY])
    (other,) = editor.post(path(deployment), [NIGHTLY | {"slug": "other"}]).json()

    again = editor.post(path(deployment), [NIGHTLY])
    renamed = send(editor, "patch", path(deployment, f"/{other['id']}"), {"slug": "nightly"})

    assert (again.status_code, renamed.status_code) == (422, 422)
    assert again.json()["errors"][0]["field"] == "slug"
    assert Schedule.objects.count() == 2


def test_deploying_again_changes_the_schedule_of_the_same_name(editor: Caller) -> None:
    body = {"flow_name": "etl", "name": "prod", "entrypoint": "etl.py:etl", "schedules": [NIGHTLY]}
    first = editor.post("/api/deployments/", body).json()["schedules"][0]

    body["schedules"] = [NIGHTLY | {"schedule": {"cron": "0 4 * * *"}}]
    again = editor.post("/api/deployments/", body).json()["schedules"][0]

    assert again["id"] == first["id"]
    assert again["schedule"] == {"cron": "0 4 * * *", "day_or": True, "timezone": "UTC"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "required"),
        ([], "may not be empty"),
        ({"schedule": {}}, "either cron, interval or rrule"),
        ({"schedule": {"cron": "* * * * *", "interval": 60}}, "either cron, interval or rrule"),
        ({"schedule": {"cron": "61 * * * *"}}, "cannot be read"),
        ({"schedule": {"rrule": "FREQ=SECONDLY"}}, "would flood"),
        ({"schedule": {"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}}, "never happens"),
        ({"schedule": {"interval": 0}}, "greater than or equal to 1"),
        ({"schedule": {"interval": 60, "anchor_date": "soon"}}, "Datetime has wrong format"),
        ({"schedule": {"interval": 60, "anchor_date": "0001-01-01T00:00:00+23:59"}}, "anchor_date"),
        ({"schedule": {"interval": 60, "anchor_date": "1900-01-01T00:00:00Z"}}, "out of reach"),
        ({"schedule": {"cron": "@daily", "timezone": "Mars/Base"}}, "is not a time zone"),
        (NIGHTLY | {"missed_at_most": 0}, "greater than or equal to 1"),
        (NIGHTLY | {"missed_runs": "some"}, "not a valid choice"),
        (NIGHTLY | {"calendar": "nowhere"}, "There is no calendar 'nowhere'"),
        (NIGHTLY | {"slug": "a/b"}, "The name of a schedule"),
        (NIGHTLY | {"parameters": [1]}, "must be a JSON object"),
        (NIGHTLY | {"parameters": {"text": "x" * 600_000}}, "parameters"),
        (NIGHTLY | {"parameters": {"planet": "Mars"}}, "do not fit the flow. planet: there is no such"),
        ({"schedule": {"cron": "0 6 * * 6"}, "calendar": "bank"}, "leaves nothing of this schedule"),
    ],
)
def test_bad_input_is_explained(editor: Caller, deployment: Deployment, body: Any, says: str) -> None:
    editor.post("/api/calendars/", BANK)

    added = editor.post(path(deployment), body)
    previewed = editor.post(path(deployment, "/preview"), body)

    assert added.status_code == 422
    assert says in added.json()["detail"]
    assert previewed.status_code == 422
    assert not Schedule.objects.exists()


def test_the_preview_shows_all_active_schedules_in_order(editor: Caller, deployment: Deployment) -> None:
    editor.post("/api/calendars/", BANK)
    off = {"schedule": {"cron": "@hourly"}, "active": False}
    editor.post(path(deployment), [NIGHTLY | {"calendar": "bank"}, {"schedule": {"cron": "0 12 * * *"}}, off])

    shown = editor.get(path(deployment, "/preview"), count=4, after="2031-12-24T12:30:00Z").json()["results"]

    assert [(each["at"], each["clock"][:20]) for each in shown] == [
        (None, "Thu 2031-12-25 03:00"),
        ("2031-12-25T12:00:00Z", "Thu 2031-12-25 12:00"),
        ("2031-12-26T02:00:00Z", "Fri 2031-12-26 03:00"),
        ("2031-12-26T12:00:00Z", "Fri 2031-12-26 12:00"),
    ]
    assert shown[0]["why"] == "2031-12-25 is a holiday in 'bank'"
    assert len(editor.get(path(deployment, "/preview")).json()["results"]) == 20


def test_an_unsaved_schedule_is_previewed_by_anyone_who_may_look(
    viewer: Caller, deployment: Deployment
) -> None:
    shown = viewer.post(path(deployment, "/preview?after=2031-03-29T00:00:00Z&count=2"), NIGHTLY).json()

    assert [each["clock"] for each in shown["results"]] == [
        "Sat 2031-03-29 03:00 CET", "Sun 2031-03-30 03:00 CEST",
    ]  # fmt: skip
    assert shown["results"][1]["remark"] == "the clock is put forward: 02:00 to 03:00 do not exist"
    assert not Schedule.objects.exists()
    assert viewer.post(path(deployment), NIGHTLY).status_code == 403


@pytest.mark.parametrize(
    "query", ["count=0", "count=1000", "count=x", "after=soon", "after=9999-12-31T00:00:00Z"]
)
def test_a_bad_look_ahead_is_a_422(viewer: Caller, deployment: Deployment, query: str) -> None:
    assert viewer.get(path(deployment, f"/preview?{query}")).status_code == 422


def test_another_workspaces_calendar_is_not_there(
    editor: Caller, foreigner: Caller, deployment: Deployment
) -> None:
    foreigner.post("/api/calendars/", BANK)

    assert editor.post(path(deployment), NIGHTLY | {"calendar": "bank"}).status_code == 422


def test_a_schedule_of_another_deployment_is_not_there(editor: Caller, deployment: Deployment) -> None:
    body = {"flow_name": "etl", "name": "prod", "entrypoint": "etl.py:etl", "schedules": [NIGHTLY]}
    other = editor.post("/api/deployments/", body).json()["schedules"][0]

    assert send(editor, "delete", path(deployment, f"/{other['id']}")).status_code == 404


def test_a_calendar_is_made_changed_and_kept_while_it_is_used(editor: Caller, deployment: Deployment) -> None:
    made = editor.post("/api/calendars/", BANK)
    again = editor.post("/api/calendars/", BANK | {"holidays": []})
    editor.post(path(deployment), NIGHTLY | {"calendar": "bank"})
    url = f"/api/calendars/{made.json()['id']}"
    used = send(editor, "delete", url)
    Schedule.objects.all().delete()

    assert (made.status_code, again.status_code) == (201, 200)
    assert editor.get(url).json()["holidays"] == []
    assert used.status_code == 409 and "nightly" in used.json()["detail"]
    assert send(editor, "delete", url).status_code == 204
    assert editor.get("/api/calendars/").json()["results"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"name": "a/b"}, {"timezone": "Mars"}, {"weekdays": []}, {"weekdays": [8]},
        {"holidays": ["christmas"]}, {"blackouts": [{"from": "00:00", "to": "00:00"}]}, {"blackouts": "all"},
        {"blackouts": [None]}, {"blackouts": [{"from": "1", "to": []}]},
    ],
)  # fmt: skip
def test_a_bad_calendar_is_a_422(editor: Caller, changes: dict[str, Any]) -> None:
    assert editor.post("/api/calendars/", BANK | changes).status_code == 422
    assert not Calendar.objects.exists()


def test_many_schedules_cost_no_more_queries(
    editor: Caller, deployment: Deployment, django_assert_max_num_queries: Any
) -> None:
    editor.post("/api/calendars/", BANK)
    many = [NIGHTLY | {"slug": f"n-{number}", "calendar": "bank"} for number in range(20)]
    editor.post(path(deployment), many)

    with django_assert_max_num_queries(6):
        assert len(editor.get(path(deployment, "/preview"), count=200).json()["results"]) == 200
