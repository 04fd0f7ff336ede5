"""What an agent's parent hears about the run that it executes."""

import select
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from agents import doorbell
from agents.hints import Hints, hint
from tests.processes import PATIENCE


@pytest.fixture
def hints() -> Iterator[Hints]:
    hints = Hints()
    yield hints
    hints.forget()


def is_heard(hints: Hints) -> bool:
    """Wait until something arrives; whether it was a hint."""
    descriptor = hints.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], PATIENCE)[0], "nothing arrived"
    return hints.take()


def send(run_id: UUID) -> None:
    pipeline = doorbell.connection().pipeline(transaction=False)
    hint(pipeline, run_id)
    pipeline.execute()


def test_that_it_listens_now_is_no_hint(hints: Hints) -> None:
    run_id = uuid4()
    hints.listen(run_id)
    assert not is_heard(hints)
    send(run_id)
    assert is_heard(hints)


def test_nothing_is_no_hint(hints: Hints) -> None:
    assert not hints.take()
