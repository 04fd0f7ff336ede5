"""The counter: how a desk in the flow's process reaches the errands in the database.

An agent's forked process has a connection of its own (`agents.errand_counter`), an isolated one asks the
API (`flows.sdk.http_errands`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol
from uuid import UUID

from flows.sdk.sealing import Seal

LEASE_SECONDS = 8
MOST_BYTES = 16 * 1024 * 1024  # of a call or an answer; more belongs into storage
RING_SECONDS = 0.5  # in which agents are rung for once


@dataclass(frozen=True, slots=True)
class NewErrand:
    """An errand on its way to its row."""

    id: UUID
    task_run_id: UUID | None
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """An errand that is over: `answer` is what is signed, or `lost` says why there is none."""

    id: UUID
    answer: bytes | None
    lost: str


@dataclass(frozen=True, slots=True)
class Seen:
    """How it stands with an errand. `under_way` is in seconds, since `worker` took it.

    `at` is when that was so, in seconds of the server's clock.
    """

    is_over: bool
    is_held: bool
    under_way: float
    is_expired: bool
    worker: str
    at: float


class Counter(Protocol):
    """The errands of one attempt. Only the desk's own thread calls it, except for `wake`.

    Whatever asks the server raises `away` while that does not answer, and may then be repeated.
    """

    server: str  # for people
    away: type[Exception]
    seal: Seal

    def open(self, queue: str) -> None:
        """Say which queue's agents are to help. Raises ValueError for one that cannot be."""
        ...

    def exchange(
        self, new: Sequence[NewErrand], done: Sequence[UUID], waiting: Collection[UUID]
    ) -> list[Answered]:
        """Put new errands and wake agents for them, remove those that are done, and read the answers that
        are there, of those that are waited for. An answer may come later, but none comes never."""
        ...

    def look(self, ids: Sequence[UUID]) -> dict[UUID, Seen]:
        """How it stands with these; what is missing is nowhere. Wakes agents for those that nobody has."""
        ...

    def take_back(self, id: UUID) -> bool:
        """Remove an errand that nobody has taken; False if somebody was faster."""
        ...

    def remove(self, ids: Sequence[UUID]) -> None:
        """Nobody waits for these any more; whoever carries one out is killed for it."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when there may be an answer or `wake` was called, or after `seconds`."""
        ...

    def wake(self) -> None:
        """Let `wait` return. Any thread may call it."""
        ...

    def reset(self) -> None:
        """The server was away: drop the connection, and take every errand as perhaps answered."""
        ...

    def close(self) -> None: ...


class Rings:
    """How often to ring for agents: as many times as there is work, and in half a second no more often than
    there are agents. Those that are awake go on by themselves."""

    def __init__(self) -> None:
        self._began, self._rung, self._most = 0.0, 0, 0

    def due(self, wanted: int, agents: Callable[[], int]) -> int:
        """How many rings of `wanted` to send now; `agents` says how many serve the queue."""
        now = monotonic()
        if now - self._began > RING_SECONDS:
            self._began, self._rung, self._most = now, 0, agents()
        times = max(0, min(wanted, self._most - self._rung))
        self._rung += times
        return times


def unheld(seen: Collection[Seen]) -> int:
    """How many of these wait for an agent."""
    return sum(not each.is_held and not each.is_over for each in seen)


def too_large(what: str, content: bytes) -> str:
    """Why `content` is not sent."""
    size = len(content) / 2**20
    return (
        f"{what} {size:.0f} MiB, and at most {MOST_BYTES // 2**20} MiB can be sent to or from an agent: "
        "keep it in storage that both reach, and pass its address."
    )
