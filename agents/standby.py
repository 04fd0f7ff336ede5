"""The horse that is forked while its agent has nothing to do, and stands by for the next run.

The fork, its guard and the first touch of inherited memory take some 10 ms: none of it is then between a
claim and user code. The horse waits at a pipe for its order and holds nothing but the spare connection. One
that died meanwhile is noticed before it is given a run; an agent that is never idle forks for each run.
"""

import os
import pickle
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from agents import doorbell, horse
from agents.claim import Claimed
from agents.guard import Guard
from agents.rehearsal import rehearse
from agents.spare import Spare
from flows.sdk.signals import TerminationSignal
from runs.session import PsycopgSession

# A horse has what its agent knew when it was forked.
LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Horse:
    """A forked process with the guard of its group. `order` is the writing end of its pipe."""

    pid: int
    guard: Guard
    order: int
    since: float

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.since >= LONGEST_SECONDS

    def take_order(self, order: bytes) -> bool:
        """Hand it its order. False if it has ended or stands still, or would have to read before there is
        room for the rest: it may stand still by then."""
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        with suppress(BrokenPipeError, BlockingIOError):
            if os.write(self.order, order) == len(order):
                os.close(self.order)
                return True
        return False

    def dismiss(self) -> None:
        """End it, and all that it has started."""
        self.guard.close()
        os.waitpid(self.pid, 0)
        os.close(self.order)


class Standby:
    """At most one horse that stands by."""

    def __init__(self, conninfo: dict[str, Any], session: PsycopgSession, spare: Spare) -> None:
        """`session` is the agent's own, which the horse forgets; `spare` the one that it takes along."""
        self._conninfo = conninfo
        self._session = session
        self._spare = spare
        self._horse: Horse | None = None

    def prepare(self) -> None:
        """While there is nothing to do: have one, younger than a minute. Never raises."""
        if self._horse is not None and not self._horse.is_old:
            return
        self.dismiss()
        self._spare.prepare()
        if self._spare.session is not None:
            with suppress(OSError):  # no room for a process: perhaps there is when a run comes
                self._horse = self._forked()

    def _forked(self) -> Horse:
        self._spare.lend()
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        try:
            pid = horse.fork_for(partial(self._stand_by, reading, writing), self._session)
        except OSError:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        try:
            return Horse(pid, Guard(pid), writing, time.monotonic())
        except OSError:
            os.close(writing)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def _stand_by(self, reading: int, writing: int) -> None:
        """In the child: rehearse, wait for the order, and carry it out; end if there comes none."""
        os.close(writing)
        with suppress(redis.RedisError):
            doorbell.connection().ping()  # opens the connection for hints
        claimed: Claimed | None = None
        # It does not wait for the pipe's end: another child of the agent may have a copy of that.
        with suppress(TerminationSignal, EOFError, pickle.UnpicklingError), os.fdopen(reading, "rb") as pipe:
            horse.keep_run_logs_to_the_run()
            rehearse()
            claimed = pickle.load(pipe)
        if claimed is not None:
            horse.execute(claimed, self._conninfo, self._spare)

    def start(self, claimed: Claimed) -> Horse | None:
        """Have it execute this run. None: there is none that could.

        It may be old: while the agent was busy with something else, it stood by.
        """
        ready = self._horse
        if ready is None:
            return None
        if ready.is_old or not ready.take_order(pickle.dumps(claimed)):
            self.dismiss()
            return None
        self._horse = None
        return ready

    def dismiss(self) -> None:
        """Let it go; its connection, too, as nobody knows what became of that."""
        if self._horse is not None:
            self._horse.dismiss()
            self._spare.take_back()
        self._horse = None
