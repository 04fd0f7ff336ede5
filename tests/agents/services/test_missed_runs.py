"""What becomes of the slots that passed while no scheduler worked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import ServiceStatus
from agents.services.materialise import Materialiser
from flows.models import Deployment, Schedule
from runs.models import FlowRun
from tests.agents.services.builders import make_schedule
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db

NOON = datetime(2031, 6, 2, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def scheduler_last_worked(when: datetime) -> None:
    ServiceStatus.objects.create(name="materialise", hostname="mill", pid=1, last_success=when)


def past_slots(schedule: Schedule, now: datetime = NOON) -> list[datetime]:
    return list(
        FlowRun.objects.filter(schedule=schedule, slot__lte=now)
        .order_by("slot")
        .values_list("slot", flat=True)
    )


@pytest.mark.parametrize(
    ("policy", "hours_ago"),
    [
        ({"missed_runs": "skip"}, []),
        ({"missed_runs": "latest"}, [1]),
        ({}, [1]),
        ({"missed_runs": "latest", "missed_within_seconds": 600}, []),
        ({"missed_runs": "all"}, [5, 4, 3, 2, 1]),
        ({"missed_runs": "all", "missed_at_most": 2}, [2, 1]),
        ({"missed_runs": "all", "missed_within_seconds": 3 * 3600}, [3, 2, 1]),
        ({"missed_runs": "all", "missed_within_seconds": 3 * 3600, "missed_at_most": 1}, [1]),
    ],
)
def test_the_policy_decides(policy: dict[str, Any], hours_ago: list[int]) -> None:
    schedule = make_schedule(cron="@hourly", **policy)
    scheduler_last_worked(NOON - 5 * HOUR)

    Materialiser().step(NOON + 30 * MINUTE)

    assert past_slots(schedule) == [NOON - (hours - 1) * HOUR for hours in hours_ago]
    assert FlowRun.objects.filter(schedule=schedule, slot__gt=NOON + 30 * MINUTE).count() == 3


@pytest.mark.parametrize(("policy", "left"), [("skip", 0), ("latest", 1), ("all", 60)])
def test_runs_that_were_made_ahead_follow_the_policy_too(policy: str, left: int) -> None:
    """The scheduler ends at noon with the next hour's runs made, and comes back at three."""
    schedule = make_schedule(interval=MINUTE, missed_runs=policy, missed_within_seconds=None)
    Materialiser().step(NOON)
    scheduler_last_worked(NOON)
    Schedule.objects.filter(id=schedule.id).update(missed_at_most=10_000)

    Materialiser().step(NOON + 3 * HOUR)

    past = past_slots(schedule, NOON + 3 * HOUR)
    assert len([slot for slot in past if slot <= NOON + HOUR]) == (left if policy != "latest" else 0)
    assert len(past) == {"skip": 0, "latest": 1, "all": 180}[policy]


def test_what_has_started_or_was_tried_stays() -> None:
    schedule = make_schedule(interval=10 * MINUTE, missed_runs="skip")
    Materialiser().step(NOON)
    scheduler_last_worked(NOON)
    claimed, tried = FlowRun.objects.filter(schedule=schedule).order_by("slot")[:2]
    lease(claimed)
    FlowRun.objects.filter(id=tried.id).update(attempt=1)
    by_hand = make_run(scheduled_time=NOON + MINUTE)

    Materialiser().step(NOON + HOUR)

    assert set(past_slots(schedule, NOON + HOUR)) == {claimed.slot, tried.slot}
    assert FlowRun.objects.filter(id=by_hand.id).exists()


def test_a_short_absence_misses_nothing() -> None:
    """What was made ahead runs, whatever the policy."""
    schedule = make_schedule(interval=MINUTE, missed_runs="skip")
    Materialiser().step(NOON)
    scheduler_last_worked(NOON + 50 * timedelta(seconds=1))

    Materialiser().step(NOON + 70 * timedelta(seconds=1))

    assert past_slots(schedule, NOON + 2 * MINUTE) == [NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_clock_that_leaps_forward_is_an_absence_and_back_is_none() -> None:
    """The database's clock decides; that of the scheduler's machine plays no part."""
    schedule = make_schedule(cron="*/10 * * * *", missed_runs="latest")
    materialiser = Materialiser()
    materialiser.step(NOON)
    scheduler_last_worked(NOON)

    materialiser.step(NOON + HOUR)
    forward = past_slots(schedule, NOON + HOUR)
    ServiceStatus.objects.update(last_success=NOON + HOUR)
    FlowRun.objects.filter(slot=NOON + HOUR).update(state_type="COMPLETED", attempt=1)
    materialiser.step(NOON)
    for minutes in range(0, 61, 5):
        materialiser.step(NOON + minutes * MINUTE)
        ServiceStatus.objects.update(last_success=NOON + minutes * MINUTE)

    assert forward == [NOON + HOUR]
    slots = past_slots(schedule, NOON + HOUR)
    assert slots == [NOON + n * 10 * MINUTE for n in range(1, 7)]
    assert FlowRun.objects.get(slot=NOON + HOUR).state_type == "COMPLETED"


def test_overdue_runs_of_a_paused_deployment_wait_until_it_is_resumed() -> None:
    """The policy is about times without a scheduler, also if one was away while the deployment was paused."""
    schedule = make_schedule(interval=HOUR, missed_runs="skip")
    Materialiser().step(NOON)
    Deployment.objects.filter(id=schedule.deployment_id).update(paused=True)
    scheduler_last_worked(NOON)

    Materialiser().step(NOON + 90 * MINUTE)
    while_paused = past_slots(schedule, NOON + 90 * MINUTE)
    ServiceStatus.objects.update(last_success=NOON + 90 * MINUTE)
    Deployment.objects.update(paused=False)
    Materialiser().step(NOON + 91 * MINUTE)

    assert while_paused == past_slots(schedule, NOON + 91 * MINUTE) == [NOON + HOUR]
