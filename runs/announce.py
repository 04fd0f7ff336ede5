"""The two ports through which `runs` calls upward, after a commit.

`ring` says that there may be work in a queue; `publish` says that a run has changed, or that events came.
Both are hints: they never raise, and nothing depends on their arrival. `agents` and `portal` fill them when
the apps load.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A flow run now has this version and this state."""

    run_id: UUID
    workspace_id: UUID
    version: int
    state_type: str
    state_name: str

    def as_json(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "workspace_id": str(self.workspace_id),
            "version": self.version,
            "state_type": self.state_type,
            "state_name": self.state_name,
        }


@dataclass(frozen=True, slots=True)
class EventsStored:
    """A workspace has new events, besides those of its flow runs' states."""

    workspace_id: UUID

    def as_json(self) -> dict[str, Any]:
        return {"workspace_id": str(self.workspace_id)}


Message = RunChanged | EventsStored
RingPort = Callable[[UUID], None]


class PublishPort(Protocol):
    """Sends messages, all in one go."""

    def __call__(self, *messages: Message) -> None: ...


SLOW_SECONDS = 0.5
SILENT_SECONDS = 5.0

_ring: RingPort | None = None
_publish: PublishPort | None = None
_silent_until = 0.0
_kept: ContextVar[dict[object, Message] | None] = ContextVar("kept", default=None)


def fill_ring(port: RingPort) -> None:
    """Set who rings: a function of a work queue's id."""
    global _ring
    _ring = port


def fill_publish(port: PublishPort) -> None:
    """Set who publishes live messages."""
    global _publish
    _publish = port


def unfilled() -> list[str]:
    """Names of the ports that nobody filled; a system check reports them."""
    return [name for name, port in (("ring", _ring), ("publish", _publish)) if port is None]


def ring(queue_id: UUID) -> None:
    """Say that there may be work in this queue. The sweeper makes up for a lost ring."""
    port = _ring
    if port is not None:
        _hint(lambda: port(queue_id), f"ring queue {queue_id}")


def publish(message: Message) -> None:
    """Say that a run has changed, or that events came. Who misses it re-reads when it sees the gap."""
    kept = _kept.get()
    if kept is None:
        _publish_all([message])
    else:
        kept[_subject(message)] = message


@contextmanager
def together() -> Iterator[None]:
    """Publish what is published inside at the end, in one round trip: of each run only the last change.

    For what one transaction changed: whoever listens would only read the same row again.
    """
    kept: dict[object, Message] = {}
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        if kept:
            _publish_all(list(kept.values()))


def _subject(message: Message) -> object:
    return message.run_id if isinstance(message, RunChanged) else message


def _publish_all(messages: list[Message]) -> None:
    port = _publish
    if port is not None:
        _hint(lambda: port(*messages), f"publish {messages}")


def _hint(send: Callable[[], None], what: str) -> None:
    """Send a hint, which must not break what was committed, and must not hold it up again and again.

    A server that hangs takes the whole time-out of each: after one, none is sent for some seconds.
    """
    global _silent_until
    began = time.monotonic()
    if began < _silent_until:
        return
    try:
        send()
    except Exception as error:
        logger.warning("Could not %s: %s", what, error)
        if time.monotonic() - began > SLOW_SECONDS:
            _silent_until = time.monotonic() + SILENT_SECONDS
