"""Limits by tag, as the engine asks for them; tests/around takes real slots."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from flows import flow, task
from flows.sdk import backend
from flows.sdk.client import PortalApiError
from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder
from flows.sdk.memory_backend import memory_backend


class Reporting:
    """A recorder that is not in memory alone, as those of agents and scripts."""

    def __init__(self) -> None:
        self.memory = MemoryRecorder()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)


class Limits:
    """A Portal with limits: `full` says how often a slot is refused before it is granted."""

    def __init__(self) -> None:
        self.limited = {"tag:db"}
        self.full = 0
        self.asked: list[list[str]] = []
        self.released = 0

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        if path.endswith("release"):
            self.released += 1
            return {"released": True}
        if path.endswith("renew"):
            return {"held": True}
        self.asked.append(body["names"])
        self.full -= 1
        missing = [name for name in body["names"] if name not in self.limited]
        granted = self.full < 0
        place = {"retry_after": None, "blocked_by": "tag:db", "position": 1}
        return {"granted": granted, "missing": missing, **place}


@pytest.fixture
def limits() -> Iterator[Limits]:
    there = Limits()
    backend.use(lambda: replace(memory_backend(), portal=there))
    yield there
    backend.use(None)


@pytest.fixture
def reporting() -> Iterator[Reporting]:
    with recording(Reporting()) as recorder:
        yield recorder


def test_a_task_run_holds_a_slot_of_its_tag_while_it_runs(reporting: Reporting, limits: Limits) -> None:
    @task(tags=["db"])
    def query() -> int:
        return limits.released

    assert flow(lambda: [query(), query()], name="work")() == [0, 1]
    assert limits.released == 2


def test_it_awaits_the_slot(reporting: Reporting, limits: Limits) -> None:
    limits.full = 2
    query = task(lambda: 1, tags=["db"], name="query")

    flow(lambda: query.submit().result(), name="work")()

    states = ["Pending", "AwaitingConcurrencySlot", "Running", "Completed"]
    assert reporting.memory.states_of("query") == states
    assert limits.asked == [["tag:db"]] * 3


def test_the_slot_is_free_between_two_tries(reporting: Reporting, limits: Limits) -> None:
    @task(tags=["db"], retries=1)
    def query() -> int:
        if not limits.released:
            raise ConnectionError
        return limits.released

    assert flow(lambda: query(), name="work")() == 1


def test_a_tag_without_a_limit_is_asked_for_once(reporting: Reporting, limits: Limits) -> None:
    label = task(lambda: 1, name="label", tags=["etl"])

    assert flow(lambda: [label() for _ in range(100)], name="work")() == [1] * 100
    assert limits.asked == [["tag:etl"]]


def test_a_task_without_tags_asks_nobody(reporting: Reporting, limits: Limits) -> None:
    plain = task(lambda: 1, name="plain")
    flow(lambda: plain(), name="work")()
    assert limits.asked == []


def test_runs_in_memory_ask_nobody(recorder: MemoryRecorder, limits: Limits) -> None:
    query = task(lambda: 1, name="query", tags=["db"])
    flow(lambda: query(), name="work")()
    assert limits.asked == []


def test_a_refusal_fails_the_task_run(
    reporting: Reporting, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, body: Mapping[str, Any]) -> Any:
        raise PortalApiError(422, "Limit 'tag:db' is not for you.")

    monkeypatch.setattr(limits, "post", refuse)
    query = task(lambda: 1, tags=["db"], name="query")

    state = flow(lambda: query(return_state=True), name="work")(return_state=True)

    assert state.is_failed() and "is not for you" in state.message
    assert reporting.memory.states_of("query") == ["Pending", "Running", "Failed"]
