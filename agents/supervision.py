"""Supervision of one run by the agent's parent: from the fork until its row tells the truth.

The parent waits for the horse on a pidfd and, once a second, looks after the lease: extends it, learns
that the run is to be cancelled, or that it was taken away. When the horse is gone, the parent reads the row;
a run that is not over by then crashed, whatever the exit code says.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from resource import struct_rusage

import psycopg

from agents.claim import Claimed, Lease, look, renew
from agents.guard import Guard
from agents.hints import Hints
from agents.offspring import children, end_orphans
from flows.sdk import usage
from flows.sdk.execution import HAND_BACK
from flows.sdk.states import Cancelled, Crashed, Failed, State
from runs.crashing import end_for
from runs.hand_back import hand_back, may_be_handed_back
from runs.session import Session

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RENEW_SECONDS = 2.0
# How long a flow may take to clean up behind itself when its run is handed back.
HAND_BACK_SECONDS = 5.0


class Order(Enum):
    """What an agent that stops wants of the run that it executes."""

    CARRY_ON = "carry on"
    HAND_BACK = "hand back"  # let the process clean up, then let another agent begin the run again
    STOP = "stop"  # the same at once; a run that must not begin again crashes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a horse ended. `status` is as `waitpid` gives it, `usage` that of the horse and its children."""

    status: int
    usage: struct_rusage

    def text(self) -> str:
        """For people: what ended the process, and what it had used by then."""
        spent = f"peak {self.usage.ru_maxrss // 1024} MiB, {self._cpu():.1f} s CPU"
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)} ({spent})"
        return f"exit code {os.waitstatus_to_exitcode(self.status)} ({spent})"

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended it; None if it exited."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    def was_killed(self) -> bool:
        return self.signal == signal.SIGKILL

    def _cpu(self) -> float:
        return self.usage.ru_utime + self.usage.ru_stime


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Supervision:
    """The horse of one claimed run. `tick` is a step, `run` the loop around it."""

    def __init__(
        self,
        session: Session,
        claimed: Claimed,
        horse: int,
        grace_seconds: float,
        guard: Guard | None = None,
        when_gone: Callable[[], None] = lambda: None,
    ) -> None:
        """`horse` is the pid and the group of a child of this process; it gets a `guard` if it has none.

        `when_gone` is called between its end and the first look at its row.
        """
        self._session = session
        self._claimed = claimed
        self._horse = horse
        self._grace = grace_seconds
        self._known = children() - {horse}  # one run at a time: children that come later are its own
        self._pidfd = os.pidfd_open(horse)
        try:
            self._guard = guard or Guard(horse)
        except OSError:
            os.close(self._pidfd)
            raise
        self._when_gone = when_gone
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._kill_at: float | None = None
        self._lease_was = Lease.HELD
        self._killed_because = ""
        self._hand_back_by: float | None = None
        self._must_finish = False

    def run(self, every_tick: Callable[[], None], order: Callable[[], Order], hints: Hints) -> None:
        """Watch until the horse is gone and its row is settled.

        `every_tick` is called once a second; it must not raise and must not take long. `order` says
        what the agent wants of the run by now, `hints` when there is something to look at.
        """
        hints.listen(self._claimed.run.id)
        while not self._gone(TICK_SECONDS, hints):
            self._obey(order(), time.monotonic())
            every_tick()
        hints.forget()
        ended = self._bury()
        self._when_gone()
        self._settle(ended, every_tick, order)

    def _obey(self, order: Order, now: float) -> None:
        if order is Order.STOP:
            self._hand_back_by = self._hand_back_by or now
            self._kill("the agent was stopped")
            return
        self.tick(now)
        if order is Order.HAND_BACK:
            self._hand_back(now)

    def _hand_back(self, now: float) -> None:
        """Ask the horse to end without an end of the run; kill it if that takes too long."""
        if self._hand_back_by is None and not self._must_finish:
            self._begin_hand_back(now)
        elif self._hand_back_by is not None and now >= self._hand_back_by:
            self._kill(f"it did not stop within {HAND_BACK_SECONDS:g} s when its run was handed back")

    def _begin_hand_back(self, now: float) -> None:
        try:
            self._must_finish = not may_be_handed_back(self._session, self._claimed.run.id)
        except psycopg.Error as error:
            logger.warning("PostgreSQL does not answer, run %s goes on: %s", self._name, _first_line(error))
            return
        if self._must_finish:
            logger.info("Run %s may not begin again elsewhere: waiting for its end", self._name)
            return
        self._hand_back_by = now + HAND_BACK_SECONDS
        self._ask_to_end()

    def _ask_to_end(self) -> None:
        logger.info("Handing back run %s: asking process %d to end", self._name, self._horse)
        signal.pidfd_send_signal(self._pidfd, HAND_BACK)

    def tick(self, now: float) -> None:
        """Look after the lease. `now` is monotonic, in seconds."""
        try:
            lease = self._lease(now)
        except psycopg.Error as error:
            # The horse goes on: no reaper ends a lease that it could not watch either.
            logger.warning("PostgreSQL does not answer, run %s goes on: %s", self._name, _first_line(error))
            return
        if lease is not self._lease_was:  # another reason to end, if any, has its own grace time
            self._lease_was, self._kill_at = lease, None
        if lease is Lease.LOST:
            self._kill("the run was taken from this agent")
        elif lease is Lease.CANCELLING:
            self._end(now, "it did not stop when it was cancelled", ask=True)
        elif lease is Lease.OVERDUE:
            self._end(now, "it did not stop at its timeout", ask=False)
        elif lease is Lease.OVER:
            self._end(now, "it did not exit after its run was over", ask=False)

    @property
    def _name(self) -> str:
        return self._claimed.run.name

    def _lease(self, now: float) -> Lease:
        run = self._claimed.run
        if now < self._renew_at:
            return look(self._session, run.id, run.attempt)
        lease = renew(self._session, run.id, run.attempt)
        self._renew_at = now + RENEW_SECONDS
        return lease

    def _end(self, now: float, because: str, ask: bool) -> None:
        """Give the horse its grace time, asking it by SIGTERM first if `ask`; then kill its group."""
        if self._kill_at is None:
            self._kill_at = now + self._grace
            if ask:
                logger.info("Cancelling run %s: SIGTERM to process %d", self._name, self._horse)
                signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        elif now >= self._kill_at:
            self._kill(f"{because} within {self._grace:.0f} s")

    def _kill(self, because: str) -> None:
        if not self._killed_because:
            logger.warning("Killing process group %d of run %s: %s", self._horse, self._name, because)
        self._killed_because = because
        self._guard.kill_group()

    def _gone(self, timeout: float, hints: Hints) -> bool:
        """Wait for the end of the horse; False after `timeout` seconds, or as soon as there is a hint."""
        while ready := self._readable(timeout, hints):
            if self._pidfd in ready:
                return True
            if hints.take():
                return False
        return False

    def _readable(self, timeout: float, hints: Hints) -> set[int]:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        heard = hints.fileno()
        if heard is not None:
            poll.register(heard, select.POLLIN)
        return {fd for fd, _ in poll.poll(timeout * 1000)}

    def _bury(self) -> Exit:
        """Reap the horse and end what it left behind: nothing of a run outlives it."""
        self._guard.close()
        os.close(self._pidfd)
        _, status, spent = os.wait4(self._horse, 0)
        if orphans := end_orphans(self._known):
            logger.info("Ended %d process(es) that run %s had left behind", orphans, self._name)
        return Exit(status, spent)

    def _settle(self, ended: Exit, every_tick: Callable[[], None], order: Callable[[], Order]) -> None:
        """Write the end of a run whose process could not; repeat while PostgreSQL is away."""
        while True:
            try:
                self.settle(ended)
                return
            except psycopg.OperationalError as error:
                logger.warning("PostgreSQL does not answer, cannot end run yet: %s", _first_line(error))
            if order() is Order.STOP:
                return  # the reaper will end it
            time.sleep(TICK_SECONDS)
            every_tick()

    def settle(self, ended: Exit) -> None:
        """Read the row: if this attempt still holds it, the process died before it could report."""
        run = self._claimed.run
        lease = look(self._session, run.id, run.attempt)
        if lease is Lease.HELD and self._goes_back():
            hand_back(self._session, run.id, run.attempt, HANDED_BACK, usage.of(ended.usage))
            logger.info("Run %s: handed back", run.name)
        elif lease in (Lease.HELD, Lease.CANCELLING, Lease.OVERDUE):
            state = replace(self._end_state(lease, ended), details={**usage.of(ended.usage)})
            last_lines = self._last_lines() if state.is_crashed() else ""
            verdict = end_for(self._session, run.id, run.attempt, state, last_lines)
            logger.info("Run %s: %s. %s", run.name, (verdict.state or state).name, state.message)
            if state.is_crashed():
                logger.info("Run %s: its process is gone, so no on_crashed hook could be called", run.name)

    def _last_lines(self) -> str:
        """What the process said last on its standard error; "" where it shares that of its agent."""
        return ""

    def _goes_back(self) -> bool:
        return self._hand_back_by is not None and may_be_handed_back(self._session, self._claimed.run.id)

    def _end_state(self, lease: Lease, ended: Exit) -> State:
        if lease is Lease.CANCELLING:
            why = f"Killed: {self._killed_because}." if self._killed_because else ""
            return Cancelled(message=why)
        if self._killed_because and lease is Lease.OVERDUE:
            return Failed(name="TimedOut", message=f"Process killed: {self._killed_because}.")
        if self._killed_because:
            return Crashed(message=f"Process killed: {self._killed_because}.")
        if ended.was_killed():
            return Crashed(message=f"Process died: {ended.text()}. {OUT_OF_MEMORY_HINT}")
        return Crashed(message=f"Process died: {ended.text()} before it reported an end.")


OUT_OF_MEMORY_HINT = "If nobody killed it, the machine or container probably ran out of memory."

HANDED_BACK = "Handed back: its agent is stopping, the next one takes it."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
