"""The desk of a flow's process: hands its errands to agents, and hears of their answers.

One thread does all that concerns the server, at a `Counter`. It is woken by what is put, and by the counter
when an answer is there. Once a second it looks how things stand: for answers whose notification got lost,
agents that stopped responding, timeouts, and errands that nobody takes.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from flows.sdk.context import current_task
from flows.sdk.errand_counter import LEASE_SECONDS, MOST_BYTES, Answered, Counter, NewErrand, Seen, too_large
from flows.sdk.errands import ProcessLost
from flows.sdk.ids import uuid7
from flows.sdk.sealing import answer_name, call_name
from flows.sdk.signals import DeadlinePassed
from flows.sdk.timeouts import Limit

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SHORTEST_LOOK = 0.1
GAP_SECONDS = 3.0  # between two looks: a longer one, and agents get a whole lease to show that they live
IMPATIENCE = 0.1  # of local_after: how long to wait for agents when the last errand was done here
LONGEST_DELAY = 2.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """An errand that a thread waits for. `outcome` None: it was handed back."""

    errand: NewErrand
    limit: Limit | None
    over: threading.Event = field(default_factory=threading.Event)
    outcome: bytes | BaseException | None = None
    ends_at: float | None = None  # when its limit passes, once an agent has it
    is_put_again: bool = False

    def end(self, outcome: bytes | BaseException | None) -> None:
        self.outcome = outcome
        self.over.set()


class ErrandDesk:
    """As `flows.sdk.agents_runner.ErrandDesk`."""

    def __init__(self, counter: Counter, queue: str, local_after: float | None) -> None:
        """The counter is the desk's own from now on."""
        self._counter = counter
        self._queue = queue
        self._local_after = local_after
        self._lock = threading.Lock()
        self._new: list[_Waiting] = []
        self._waiting: dict[UUID, _Waiting] = {}
        self._done: list[UUID] = []  # rows that nobody needs any more
        self._closed = False
        self._failure: Exception | None = None  # why nothing can be handed in here
        self._look_at = self._looked_at = self._steady_since = 0.0
        self._helped_at, self._is_helped, self._is_busy_here = 0.0, True, False
        self._thread = threading.Thread(target=self._serve, name="errands", daemon=True)
        self._thread.start()

    # The threads of the task runner

    def carry_out(self, errand: bytes, limit: Limit | None) -> bytes | None:
        """As `flows.sdk.agents_runner.ErrandDesk`. Raises TypeError for one of more than 16 MiB."""
        if len(errand) > MOST_BYTES:
            raise TypeError(too_large("The arguments of the task are", errand))
        task = current_task.get()
        new = uuid7()
        payload = self._counter.seal.sign(call_name(new), errand)
        waiting = _Waiting(
            NewErrand(new, task.id if task else None, task.name if task else "", payload), limit
        )
        with self._lock:
            if self._closed:
                raise self._failure or ProcessLost(WITHDRAWN)
            if not self._waiting and not self._new:
                self._helped_at = time.monotonic()
            self._new.append(waiting)
        self._counter.wake()
        waiting.over.wait()
        if isinstance(waiting.outcome, BaseException):
            raise waiting.outcome
        return waiting.outcome

    def done_here(self) -> None:
        self._is_busy_here = False
        self._look_at = 0.0
        self._counter.wake()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._counter.wake()
        if self._thread is not threading.current_thread():
            self._thread.join(GAP_SECONDS)

    # The desk's own thread

    def _serve(self) -> None:
        delay, is_open = 0.0, False
        try:
            while not self._closed:
                try:
                    if not is_open:
                        self._counter.open(self._queue)
                        is_open = True
                    self._step()
                    delay = 0.0
                except self._counter.away as error:
                    delay = min(2 * delay or SHORTEST_LOOK, LONGEST_DELAY)
                    logger.warning("%s does not answer, errands wait: %s", self._counter.server, error)
                    self._counter.reset()
                    self._look_at = 0.0  # notifications were missed
                    time.sleep(delay)
            self._leave()
        except Exception as error:
            self._failure = error
            self._end_all(error)
        finally:
            self._end_all(ProcessLost(WITHDRAWN))
            self._counter.close()

    def _step(self) -> None:
        """Exchange what is there, look if it is time, and wait for more."""
        self._exchange()
        now = time.monotonic()
        if now >= self._look_at:
            self._look(now)
        self._pass_limits(now)
        if not self._new:
            self._counter.wait(max(0.0, self._next_moment() - time.monotonic()))

    def _exchange(self) -> None:
        """Put what is new, fetch what is answered, remove what is done."""
        with self._lock:
            new, self._new = self._new, []
            self._waiting.update({waiting.errand.id: waiting for waiting in new})
        try:
            found = self._counter.exchange(
                [waiting.errand for waiting in new], self._done, self._waiting.keys()
            )
        except self._counter.away:
            with self._lock:
                self._new = new + self._new
            raise
        self._done = []
        for each in found:
            self._deliver(each)

    def _deliver(self, found: Answered) -> None:
        answer, name = found.answer, answer_name(found.id)
        content = None if answer is None else self._counter.seal.verified(name, answer)
        if found.lost:
            self._end(found.id, ProcessLost(found.lost))
        elif content is None:
            text = "The answer of the agent was altered, or signed by another key."
            self._end(found.id, ProcessLost(text))
        else:
            self._helped_at, self._is_helped = time.monotonic(), True
            self._end(found.id, content)

    def _end(self, id: UUID, outcome: bytes | BaseException | None) -> None:
        waiting = self._waiting.pop(id, None)
        if waiting is not None:
            self._done.append(id)
            waiting.end(outcome)

    # Looking

    def _look(self, now: float) -> None:
        ids = list(self._waiting)
        if ids:
            seen = self._counter.look(ids)
            self._judge(now, ids, seen)
            self._do_one_here(now, seen)
        self._look_at = now + self._look_period()

    def _judge(self, now: float, ids: list[UUID], seen: dict[UUID, Seen]) -> None:
        is_steady = self._is_steady(seen)
        for id in ids:
            each = seen.get(id)
            if each is None:
                self._put_again(id)
            elif each.is_held and not each.is_over:
                self._helped_at, self._is_helped = now, True
                limit = self._waiting[id].limit
                self._waiting[id].ends_at = None if limit is None else now + limit.seconds - each.under_way
                if each.is_expired and is_steady:
                    self._end(id, ProcessLost(f"Agent {each.worker} stopped responding while it was at it."))

    def _is_steady(self, seen: dict[UUID, Seen]) -> bool:
        """Whether it has looked without a gap for a whole lease: by the server's clock, which may be set."""
        for each in seen.values():
            if not 0 <= each.at - self._looked_at <= GAP_SECONDS:
                self._steady_since = each.at
            self._looked_at = each.at
        return self._looked_at - self._steady_since > LEASE_SECONDS

    def _put_again(self, id: UUID) -> None:
        """A crash of PostgreSQL forgot it, once. An agent that is at it finds that it holds nothing."""
        waiting = self._waiting[id]
        if waiting.is_put_again:
            self._end(id, ProcessLost("Its errand is gone from the database."))
            return
        waiting.is_put_again = True
        waiting.ends_at = None
        with self._lock:
            self._new.append(waiting)

    def _do_one_here(self, now: float, seen: dict[UUID, Seen]) -> None:
        """Hand back the oldest errand, if agents leave all of them alone."""
        if self._local_after is None or self._is_busy_here:
            return
        patience = self._local_after * (1.0 if self._is_helped else IMPATIENCE)
        unheld = [id for id in self._waiting if id in seen and not seen[id].is_held]
        if not unheld or now - self._helped_at < patience:
            return
        if self._counter.take_back(unheld[0]):
            self._is_busy_here, self._is_helped = True, False
            self._end(unheld[0], None)

    def _look_period(self) -> float:
        """A second; less if something else is to be noticed: a short limit, or that nobody comes."""
        spans = [LOOK_SECONDS]
        spans += [w.limit.seconds / 2 for w in self._waiting.values() if w.limit and w.ends_at is None]
        if self._local_after is not None and not self._is_busy_here:
            spans.append(self._local_after * (1.0 if self._is_helped else IMPATIENCE))
        return max(SHORTEST_LOOK, min(spans))

    def _pass_limits(self, now: float) -> None:
        for id, waiting in list(self._waiting.items()):
            if waiting.ends_at is not None and now >= waiting.ends_at:
                self._end(id, DeadlinePassed(waiting.limit))

    def _next_moment(self) -> float:
        ends = [w.ends_at for w in self._waiting.values() if w.ends_at is not None]
        if self._done:  # agents must learn that nobody waits for these
            ends.append(0.0 if not self._waiting else time.monotonic() + SHORTEST_LOOK)
        return min([self._look_at, *ends])

    def _leave(self) -> None:
        """Remove all rows: agents end what is under way."""
        ids = [*self._waiting, *self._done]
        self._end_all(ProcessLost(WITHDRAWN))
        if ids:
            try:
                self._counter.remove(ids)
            except self._counter.away as error:  # agents see by the flow run that it is over
                logger.warning("Errands could not be withdrawn: %s", str(error).strip())

    def _end_all(self, error: BaseException) -> None:
        with self._lock:
            self._closed = True
            open_ones = [*self._waiting.values(), *self._new]
            self._waiting, self._new = {}, []
        for waiting in open_ones:
            waiting.end(error)


WITHDRAWN = "The task was withdrawn from its agent."
