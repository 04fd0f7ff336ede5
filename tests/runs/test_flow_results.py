"""What flows of an agent return: kept in PostgreSQL, fetched by others, taken by the next attempt."""

import threading
from typing import Any
from uuid import uuid4

import pytest

from flows import flow
from flows.exceptions import MissingResult
from flows.sdk.backend import Backend, backed_by
from flows.sdk.flow_results import Returned
from flows.sdk.recorder import FlowRunInfo
from runs.backend import database_backend
from runs.logs import of_run
from runs.models import FlowRun, Result
from runs.session import DjangoSession
from tests.runs.test_results import Attempt, attempt, execute, next_attempt, run

__all__ = ["attempt", "run"]
pytestmark = pytest.mark.django_db(transaction=True)


def backend_of(run: FlowRun) -> Backend:
    asking = FlowRunInfo(uuid4(), "asking", "asks", {})
    return database_backend(DjangoSession(), run.workspace_id, asking)


def returned_by(run: FlowRun) -> Any:
    with backed_by(backend_of(run)):
        return Returned(run.id, run.name).fetched()


@flow
def work() -> dict[str, int]:
    return {"a": 1}


def test_what_a_flow_returned_is_fetched_by_its_run(run: FlowRun, attempt: Attempt) -> None:
    execute(work, run, attempt(run))

    assert returned_by(run) == {"a": 1}


def test_none_is_a_value(run: FlowRun, attempt: Attempt) -> None:
    execute(flow(lambda: None, name="nothing"), run, attempt(run))

    assert returned_by(run) is None


def test_persist_result_false_keeps_nothing(run: FlowRun, attempt: Attempt) -> None:
    execute(work.with_options(persist_result=False), run, attempt(run))

    assert not Result.objects.exists()
    with pytest.raises(MissingResult, match="persist_result=False"):
        returned_by(run)


def test_another_workspace_does_not_find_it(run: FlowRun, attempt: Attempt) -> None:
    execute(work, run, attempt(run))
    run.workspace_id = uuid4()

    with pytest.raises(MissingResult):
        returned_by(run)


def test_what_somebody_else_signed_is_not_opened(run: FlowRun, attempt: Attempt) -> None:
    execute(work, run, attempt(run))
    Result.objects.update(data=b"\x00" * 32 + b"pickle\x00cos\nsystem\n(S'false'\ntR.")

    with pytest.raises(MissingResult):
        returned_by(run)


def test_a_value_that_cannot_be_serialised_is_one_line_in_the_log(run: FlowRun, attempt: Attempt) -> None:
    @flow
    def lock() -> Any:
        return threading.Lock()

    execute(lock, run, recorder := attempt(run))
    recorder.close()

    run.refresh_from_db()
    assert run.state_type == "COMPLETED"
    assert sum("The return value is not kept" in line.message for line in of_run(run)) == 1


def test_the_next_attempt_takes_the_results_of_subflows(run: FlowRun, attempt: Attempt) -> None:
    calls: list[int] = []

    @flow
    def child(number: int) -> int:
        calls.append(number)
        return number + 1

    @flow
    def parent() -> int:
        return child(1) + child(1) + child(2)

    execute(parent, run, first := attempt(run))
    first.close()
    state = execute(parent, next_attempt(run), attempt(run))

    assert state.result() == 7
    assert calls == [1, 1, 2]
    assert FlowRun.objects.filter(root_run=run).count() == 3
