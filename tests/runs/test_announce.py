"""Hints: they break nothing, and hold nothing up for long."""

import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from runs import announce


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """The rings that were tried; each takes longer than it should, and fails."""
    tried: list[UUID] = []

    def hang(queue_id: UUID) -> None:
        tried.append(queue_id)
        time.sleep(0.02)
        raise TimeoutError("no answer")

    monkeypatch.setattr(announce, "_ring", hang)
    monkeypatch.setattr(announce, "_silent_until", 0.0)
    yield tried


def test_after_a_hint_that_got_stuck_there_is_silence(
    attempts: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "SLOW_SECONDS", 0.01)
    for _ in range(3):
        announce.ring(uuid4())
    assert len(attempts) == 1


def test_a_refusal_that_comes_at_once_costs_nobody_the_next_hint(attempts: list[UUID]) -> None:
    for _ in range(3):
        announce.ring(uuid4())
    assert len(attempts) == 3


def test_what_is_published_together_goes_at_once_and_each_run_only_as_it_is_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[announce.Message, ...]] = []
    monkeypatch.setattr(announce, "_publish", lambda *messages: sent.append(messages))
    one, other, workspace = uuid4(), uuid4(), uuid4()
    began = announce.RunChanged(one, workspace, 1, "PENDING", "Pending")
    ran = announce.RunChanged(one, workspace, 2, "RUNNING", "Running")
    beside = announce.RunChanged(other, workspace, 7, "RUNNING", "Running")
    with announce.together():
        for message in (began, beside, ran):
            announce.publish(message)
        assert sent == []
    announce.publish(beside)
    assert sent == [(ran, beside), (beside,)]
