"""The test kit, as its users write tests."""

import asyncio
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from flows import flow, get_run_logger, task
from flows.testing import flow_test_harness
from flows.testing.utilities import prefect_test_harness


@task(retries=2, retry_delay_seconds=600)
def fetch(year: int) -> int:
    get_run_logger().info("fetching %d", year)
    return year * 2


@task
async def fetch_async(year: int) -> int:
    return year * 2


@flow(retries=1, retry_delay_seconds=30)
def report(year: int = 1962) -> int:
    return fetch(year)


def test_runs_and_states_are_kept() -> None:
    with flow_test_harness() as harness:
        assert report() == 3924

    harness.assert_states(fetch, "Pending", "Running", "Completed")
    harness.assert_states(report, "Running", "Completed")
    assert harness.run_of(fetch).state.result() == 3924


def test_retries_take_no_time() -> None:
    with flow_test_harness() as harness:
        harness.fail(fetch, ConnectionError("down"), times=2)
        assert report() == 3924

    assert harness.clock.slept == [600, 600]
    assert harness.clock.elapsed == 1200
    run = harness.run_of(fetch)
    tries = ["Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying"]
    assert run.state_names == ["Pending", *tries, "Completed"]
    assert (run.state.timestamp - run.states[0].timestamp).total_seconds() == 1200


def test_a_failure_that_stays_fails_the_flow() -> None:
    with flow_test_harness() as harness:
        harness.fail(fetch, ConnectionError("down"), times=None)
        with pytest.raises(ConnectionError):
            report()

    assert len(harness.runs_of(fetch)) == 2  # the flow tried again
    assert harness.run_of(report).state.is_failed()


def test_logs_are_kept() -> None:
    with flow_test_harness() as harness:
        report(1984)

    harness.assert_logged("fetching 1984")
    with pytest.raises(AssertionError, match="'fetching 1985' was not logged"):
        harness.assert_logged("fetching 1985")


def test_assertions_say_what_was_there() -> None:
    with flow_test_harness() as harness:
        report()

    with pytest.raises(AssertionError, match=r"went through .*'Completed'.*, not through .*'Failed'"):
        harness.assert_states(fetch, "Failed")
    with pytest.raises(AssertionError, match="ran 0 times, not once"):
        harness.run_of(fetch_async)


def test_a_task_can_be_replaced() -> None:
    with flow_test_harness() as harness:
        harness.replace(fetch, lambda year: -year)
        assert report() == -1962
    assert report() == 3924


def test_async_tasks_fail_and_are_replaced_alike() -> None:
    @flow
    async def async_report() -> int:
        return await fetch_async(1)

    with flow_test_harness() as harness:
        harness.fail(fetch_async)
        with pytest.raises(RuntimeError, match="injected"):
            asyncio.run(async_report())
        harness.replace(fetch_async, lambda year: 7)
        assert asyncio.run(async_report()) == 7


def test_the_clock_reaches_submitted_tasks() -> None:
    @flow
    def parallel() -> list[int]:
        return fetch.map([1, 2]).result()

    with flow_test_harness() as harness:
        harness.fail(fetch)
        assert parallel() == [2, 4]
    assert harness.clock.slept == [600]


def test_time_can_be_let_pass() -> None:
    with flow_test_harness() as harness:
        harness.clock.advance(3600)
        report()
    assert (harness.run_of(report).state.timestamp - harness.clock.start).total_seconds() == 3600


def test_kept_results_grow_old() -> None:
    calls = []

    @task(cache_key_fn=lambda context, parameters: "key", cache_expiration=timedelta(hours=1))
    def compute() -> None:
        calls.append("called")

    with flow_test_harness() as harness:
        compute()
        compute()
        assert len(calls) == 1
        harness.clock.advance(3601)
        compute()
    assert len(calls) == 2


def test_under_the_name_that_prefect_gave_it() -> None:
    with prefect_test_harness():
        assert report() == 3924


MANY = """
import pytest
from flows import flow, task

pytest_plugins = ["flows.testing.plugin"]

@task(retries=3, retry_delay_seconds=60)
def double(number):
    return 2 * number

@flow
def total(numbers):
    return sum(double.map(numbers).result())

@pytest.mark.parametrize("number", range(100))
def test_total(flow_harness, number):
    flow_harness.fail(double)
    assert total([number, 1]) == 2 * number + 2
    assert flow_harness.clock.slept == [60]
"""


def test_a_hundred_small_tests_take_less_than_five_seconds(tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(MANY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    before = processor_seconds()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )

    assert "100 passed" in done.stdout, done.stdout
    assert processor_seconds() - before < 5  # not on the clock, which also counts what other programs do


def processor_seconds() -> float:
    """What the children of this process that have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
