"""Giving up on a server that neither answers nor refuses.

A stopped process, a hung disk or a dead host behind a proxy keeps a connection open and silent: no
time-out of TCP's or of PostgreSQL's own ends the wait for its answer.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg


class NoAnswerError(psycopg.OperationalError):
    """PostgreSQL did not answer in time; whether it did what it was asked for is unknown."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raise NoAnswerError in the body after `seconds`. For the main thread, and for nothing else that
    uses SIGALRM in the meantime."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise NoAnswerError(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
