"""A loop takes its step again and again, and survives its failing."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import redis

from agents.services.loop import LONGEST_BACK_OFF, Loop, Outages, Step

# A failing loop drops its connection, which a test's surrounding transaction would not survive.
pytestmark = pytest.mark.django_db(transaction=True)


def loop(step: Step, outages: Outages | None = None) -> Loop:
    return Loop("mill", step, every=5, outages=outages or Outages())


def failing(times: int, error: Exception) -> Callable[[datetime], None]:
    """A step that fails so often, and works from then on."""
    left = iter([error] * times)

    def step(now: datetime) -> None:
        for failure in left:
            raise failure

    return step


def test_it_waits_for_the_rest_of_its_period() -> None:
    assert 0 < loop(lambda now: None).take_step() <= 5


def test_a_step_may_name_the_next_moment() -> None:
    assert 0 < loop(lambda now: now + timedelta(seconds=4)).take_step() <= 4


def test_a_moment_that_has_passed_is_now() -> None:
    assert loop(lambda now: now - timedelta(seconds=1)).take_step() == 0


def test_success_is_remembered() -> None:
    steps: list[datetime] = []
    it = loop(steps.append)

    it.take_step()

    assert it.outcome.last_success == steps[0]
    assert 0 < it.outcome.duration_ms < 60_000


def test_a_failing_step_is_tried_again_sooner_and_then_less_often() -> None:
    it = loop(failing(9, ValueError("no flour")))

    waits = [it.take_step() for _ in range(9)]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.25, LONGEST_BACK_OFF)
    assert it.outcome.last_error == "ValueError: no flour"


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages()
    loops = [loop(failing(3, redis.ConnectionError("refused")), outages) for _ in range(2)]

    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            for it in loops:
                it.take_step()

    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "Redis is not reachable: refused. Trying again until it works."
    assert texts[1].startswith("Redis is not reachable: works again after")
    assert len(texts) == 2


def test_a_programming_error_leaves_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    loop(failing(1, ValueError("no flour"))).take_step()

    assert "Loop 'mill' failed (ValueError): no flour" in caplog.text
    assert "Traceback" in caplog.text
