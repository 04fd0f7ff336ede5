"""Flows: their states, their return values and options."""

from typing import Any

import pytest

from flows import flow, tags, task
from flows.sdk.memory import MemoryRecorder
from flows.states import Cancelled, Completed, Failed


@task
def good() -> int:
    return 1


@task
def bad() -> int:
    raise ValueError("broken")


def test_a_flow_goes_from_running_to_completed(recorder: MemoryRecorder) -> None:
    @flow
    def load_table(rows: int = 2) -> int:
        return rows

    assert load_table(3) == 3
    assert recorder.states_of("load-table") == ["Running", "Completed"]
    assert recorder.flow_runs[0].parameters == {"rows": 3}


def test_a_run_gets_a_name_of_two_words(recorder: MemoryRecorder) -> None:
    flow(lambda: 1, name="work")()
    assert len(recorder.flow_runs[0].name.split("-")) >= 2


def test_an_exception_fails_the_run_and_reaches_the_caller(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        raise KeyError("year")

    with pytest.raises(KeyError, match="year"):
        work()
    assert recorder.states_of("work") == ["Running", "Failed"]
    assert recorder.flow_states[-1][1].message == "Flow run encountered an exception: KeyError: 'year'"


def test_return_state_returns_the_final_state() -> None:
    @flow
    def work(number: int) -> float:
        return 1 / number

    assert work(1, return_state=True).result() == 1.0
    assert work(0, return_state=True).is_failed()


@pytest.mark.parametrize(
    ("returned", "name", "message"),
    [
        (lambda: good.submit(), "Completed", "All states completed."),
        (lambda: [good.submit(), bad.submit()], "Failed", "1/2 states failed."),
        (lambda: bad.submit(), "Failed", "1/1 states failed."),
        (lambda: {good.submit(), bad.submit()}, "Failed", "1/2 states failed."),
        (lambda: (good.submit(wait_for=[bad.submit()]),), "Failed", "1/1 states are not final."),
        (lambda: [good(return_state=True), Cancelled()], "Cancelled", "1/2 states cancelled."),
        (lambda: Completed(name="Skipped", message="no news"), "Skipped", "no news"),
        (lambda: Failed(message="too few rows"), "Failed", "too few rows"),
        (lambda: {"state": bad.submit()}, "Completed", ""),
        (lambda: None, "Completed", ""),
    ],
)
def test_returned_futures_and_states_decide_the_final_state(returned: Any, name: str, message: str) -> None:
    state = flow(returned, name="work")(return_state=True)
    assert (state.name, state.message) == (name, message)


def test_a_failed_task_that_is_neither_returned_nor_raised_does_not_fail_the_flow() -> None:
    @flow
    def work() -> str:
        bad.submit()
        return "fine"

    assert work() == "fine"


def test_a_returned_future_gives_its_result() -> None:
    assert flow(lambda: good.submit(), name="work")() == 1
    with pytest.raises(ValueError, match="broken"):
        flow(lambda: bad.submit(), name="work")()


def test_returned_futures_give_their_states() -> None:
    states = flow(lambda: [good.submit(), bad.submit()], name="work")()
    assert [state.name for state in states] == ["Completed", "Failed"]


def test_tasks_that_have_not_begun_when_the_flow_fails_are_cancelled(recorder: MemoryRecorder) -> None:
    from threading import Event

    from flows.task_runners import ThreadPoolTaskRunner

    gate = Event()
    hold = task(lambda: gate.wait(60), name="hold")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def work() -> None:
        hold.submit()
        good.submit().add_done_callback(lambda _: gate.set())
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        work()
    assert recorder.states_of("good") == ["Pending", "Cancelled"]
    assert recorder.states_of("hold")[-1] == "Completed"


def test_sys_exit_crashes_the_run(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        raise SystemExit("enough")

    with pytest.raises(SystemExit):
        work()
    assert recorder.flow_states[-1][1].message == "The run called sys.exit('enough')."
    assert recorder.states_of("work")[-1] == "Crashed"


def test_names_and_descriptions_are_read_off_the_function() -> None:
    @flow
    def daily_report() -> None:
        """Sums up the day."""

    assert (daily_report.name, daily_report.description) == ("daily-report", "Sums up the day.")


def test_with_options_makes_a_copy() -> None:
    work = flow(lambda: None, name="work", retries=1)
    other = work.with_options(name="play", version="2", description="fun", tags=["x"])
    assert (other.name, other.retries, other.version, other.description) == ("play", 1, "2", "fun")
    assert work.name == "work"


def test_flow_run_name_is_a_template_over_the_parameters(recorder: MemoryRecorder) -> None:
    @flow(flow_run_name="report-{year}")
    def work(year: int = 2024) -> None: ...

    work()
    assert recorder.flow_runs[0].name == "report-2024"


def test_tags_of_the_flow_and_of_the_block_come_together(recorder: MemoryRecorder) -> None:
    with tags("nightly"):
        flow(lambda: None, name="work", tags=["etl"])()
    assert recorder.flow_runs[0].tags == ("nightly", "etl")


def test_validate_parameters_off_passes_values_as_they_are() -> None:
    @flow(validate_parameters=False)
    def work(number: int) -> Any:
        return number

    assert work("5") == "5"
