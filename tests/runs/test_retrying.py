"""Runs that have ended, run once more: what is taken from before, and what is computed anew."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import flow, task
from flows.cache_policies import INPUTS
from flows.scoping import Actor
from flows.sdk.engine import run_flow
from flows.sdk.flows import Flow
from flows.sdk.recorder import Aborted, FlowRunInfo, Status
from flows.sdk.states import Cancelled, Completed, Failed, State
from runs.models import FlowRun, FlowRunState, Result
from runs.recorder import DatabaseRecorder
from runs.retrying import NoSuchTaskError, find_task_run, retry, reusable_calls, run_again
from runs.session import DjangoSession, PsycopgSession, conninfo_of_django
from runs.transition import transition
from tests.factories import lease, make_run

pytestmark = pytest.mark.django_db(transaction=True)

ANNA = Actor(user_id=1, name="anna")
Try = Callable[[Flow[..., Any], FlowRun], State]


@pytest.fixture
def attempt() -> Iterator[Try]:
    """Executes a run as an agent's process would."""
    with ExitStack() as stack:

        def execute(work: Flow[..., Any], run: FlowRun) -> State:
            run = lease(run, attempt=run.attempt + 1)
            session = PsycopgSession(conninfo_of_django())
            recorder = DatabaseRecorder(session, run.id, run.attempt, result_scope=run.result_scope)
            stack.enter_context(suppress(Aborted))
            stack.callback(recorder.close)
            info = FlowRunInfo(
                run.id, run.name, work.name, run.parameters, attempt=run.attempt, run_count=run.run_count,
                result_scope=run.result_scope,
            )  # fmt: skip
            if chosen := run.redo_from:
                kept = recorder.transact(lambda tx: reusable_calls(tx, run.id, chosen))
                info = replace(info, reusable=kept)
            return run_flow(work, run.parameters, recorder=recorder, run=info)

        yield execute


class Work:
    """extract -> clean -> load, by plain calls; `load` fails while `is_broken`. `calls` are those made."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[str] = []
        self.is_broken = True

        @task(name="extract", **options)
        def extract(year: int) -> int:
            self.calls.append("extract")
            return year

        @task(name="clean", **options)
        def clean(value: int) -> int:
            self.calls.append("clean")
            return value // 100

        @task(name="load", **options)
        def load(value: int) -> int:
            self.calls.append("load")
            if self.is_broken:
                raise RuntimeError("the warehouse is closed")
            return value

        @flow
        def work(year: int = 1962) -> int:
            return load(clean(extract(year)))

        self.flow = work

    def repaired(self) -> "Work":
        self.is_broken = False
        self.calls.clear()
        return self


def reopened(run: FlowRun, from_task: str | None = None) -> FlowRun:
    chosen = find_task_run(run.id, from_task) if from_task else None
    assert retry(DjangoSession(), run.id, ANNA, from_task=chosen).status is Status.ACCEPT
    run.refresh_from_db()
    return run


def test_a_retried_run_takes_what_was_computed(attempt: Try) -> None:
    work, run = Work(), make_run()
    assert attempt(work.flow, run).is_failed()

    state = attempt(work.repaired().flow, reopened(run))

    assert (state.result(), work.calls) == (19, ["load"])
    run.refresh_from_db()
    assert (run.attempt, run.run_count, run.state_type) == (2, 2, "COMPLETED")
    names = list(
        FlowRunState.objects.filter(flow_run=run).order_by("timestamp").values_list("name", flat=True)
    )
    assert names == ["Scheduled", "Running", "Failed", "AwaitingRetry", "Retrying", "Completed"]


@pytest.mark.parametrize(
    "options", [{}, {"persist_result": True}, {"cache_policy": INPUTS}, {"result_storage": ""}]
)
def test_from_a_chosen_task_on_all_is_done_anew(
    attempt: Try, options: dict[str, Any], tmp_path: Path
) -> None:
    """Wherever the results are kept."""
    if "result_storage" in options:
        options = {"result_storage": tmp_path, "persist_result": True}
    work, run = Work(**options), make_run()
    work.is_broken = False
    assert attempt(work.flow, run).is_completed()
    work.calls.clear()

    assert attempt(work.flow, reopened(run, "clean")).result() == 19

    assert work.calls == ["clean", "load"]


def test_a_retry_after_that_takes_what_was_done_anew(attempt: Try) -> None:
    work, run = Work(), make_run()
    attempt(work.flow, run)
    attempt(work.flow, reopened(run, "clean"))

    attempt(work.repaired().flow, reopened(run))

    assert work.calls == ["load"]


def test_subflows_are_done_anew_or_kept_as_a_whole(attempt: Try) -> None:
    calls: list[str] = []

    @task
    def note(name: str) -> str:
        calls.append(name)
        return name

    @flow
    def first() -> str:
        return note("first")

    @flow
    def second() -> str:
        return note("second")

    @flow
    def work() -> None:
        first()
        note("between")
        second()

    run = make_run()
    attempt(work, run)
    calls.clear()

    attempt(work, reopened(run, "note"))

    assert calls == ["between", "second"]


def test_counters_go_on_so_that_used_up_retries_stay_used_up(attempt: Try) -> None:
    calls: list[int] = []

    @flow(retries=1)
    def work() -> None:
        calls.append(1)
        raise RuntimeError("again")

    run = make_run()
    attempt(work, run)
    attempt(work, reopened(run))

    run.refresh_from_db()
    assert (len(calls), run.run_count) == (3, 3)


@pytest.mark.parametrize("options", [{}, {"persist_result": True}], ids=["plain", "persist_result"])
def test_a_new_run_with_other_parameters_takes_the_results_of_equal_calls(
    attempt: Try, options: dict[str, Any]
) -> None:
    work, run = Work(**options), make_run(parameters={"year": 1962})
    attempt(work.flow, run)
    new = run_again(run, {"year": 1999}, ANNA, reuse_results=True)

    assert attempt(work.repaired().flow, new).result() == 19

    assert work.calls == ["extract", "clean", "load"]
    same = run_again(new, {"year": 1999}, ANNA, reuse_results=True)
    work.calls.clear()
    assert attempt(work.flow, same).result() == 19
    assert work.calls == []
    assert (same.rerun_of, same.result_scope) == (new, run.id)


def test_a_new_run_that_shares_results_keeps_what_it_returns_itself(attempt: Try) -> None:
    work, run = Work(), make_run()
    attempt(work.repaired().flow, run)
    new = run_again(run, {"year": 2000}, ANNA, reuse_results=True)
    attempt(work.flow, new)

    returned = Result.objects.filter(key__endswith="/returned")
    assert set(returned.values_list("flow_run", "key")) == {
        (each.id, f"{each.id}/returned") for each in (run, new)
    }


@pytest.mark.parametrize("options", [{}, {"persist_result": True}], ids=["plain", "persist_result"])
def test_a_subflow_that_failed_half_way_goes_on_there(attempt: Try, options: dict[str, Any]) -> None:
    part = Work(**options)

    @flow
    def work() -> int:
        return part.flow(year=1999)

    run = make_run()
    attempt(work, run)
    part.repaired()

    assert attempt(work, reopened(run)).result() == 19
    assert part.calls == ["load"]


def test_a_completed_subflow_is_called_again_from_its_place_on(attempt: Try) -> None:
    calls: list[str] = []

    @flow
    def part(name: str) -> str:
        calls.append(name)
        return name

    @flow
    def work() -> str:
        return part("first") + part("second")

    run = make_run()
    attempt(work, run)
    attempt(work, reopened(run))
    assert calls == ["first", "second"]

    attempt(work, reopened(run, "part-1"))

    assert calls == ["first", "second", "second"]


def test_a_new_run_shares_nothing_unless_asked(attempt: Try) -> None:
    work, run = Work(), make_run(parameters={"year": 1962})
    attempt(work.flow, run)

    new = run_again(run, run.parameters, ANNA)
    attempt(work.repaired().flow, new)

    assert work.calls == ["extract", "clean", "load"]
    assert (new.rerun_of, new.created_by["display_value"]) == (run, "anna")


def test_a_result_is_shared_after_the_old_run_was_retried(attempt: Try) -> None:
    work, run = Work(), make_run()
    attempt(work.flow, run)
    new = run_again(run, {}, ANNA, reuse_results=True)

    attempt(work.repaired().flow, new)
    attempt(work.flow, reopened(run))

    assert work.calls == ["load"]


@pytest.mark.parametrize("state", [Failed(), Cancelled(), Completed()])
def test_whatever_has_ended_can_be_retried(state: State) -> None:
    run = make_run()
    transition(DjangoSession(), run.id, state, force=True)

    run = reopened(run)

    assert (run.state_name, run.state_message) == ("AwaitingRetry", "Retried by anna.")
    assert run.end_time is None
    assert run.expected_start_time <= datetime.now(UTC) + timedelta(seconds=1)


def test_what_cannot_be_retried_says_why() -> None:
    waiting, part, script = make_run(), make_run(), make_run()
    FlowRun.objects.filter(id=part.id).update(root_run=waiting, state_type="FAILED", state_name="Failed")
    FlowRun.objects.filter(id=script.id).update(deployment=None, state_type="FAILED", state_name="Failed")

    for run, text in ((waiting, "it is Scheduled"), (part, "part of another"), (script, "no deployment")):
        verdict = retry(DjangoSession(), run.id, ANNA)
        assert verdict.status is Status.ABORT
        assert text in verdict.reason


def test_a_task_that_was_not_called_is_named_with_those_that_were(attempt: Try) -> None:
    run = make_run()
    with pytest.raises(NoSuchTaskError, match="It called none"):
        find_task_run(run.id, "load")
    attempt(Work().flow, run)

    with pytest.raises(NoSuchTaskError, match=r"no task .laod.\. It called clean, extract, load"):
        find_task_run(run.id, "laod")
    assert find_task_run(run.id, "load") == find_task_run(run.id, "load-0")
