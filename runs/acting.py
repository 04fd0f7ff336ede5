"""Who is acting: kept with every state and event, so that history can say who did it.

A web process sets it for each request, a service loop and an agent for their threads. What nobody claims
was done by the run's own process.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

# As Actor.as_json: type (USER, SERVICE, AGENT), id, display_value.
Who = Mapping[str, str]

_acting: ContextVar[Callable[[], Who | None]] = ContextVar("acting", default=lambda: None)


def acting() -> Who | None:
    """Who acts here; None if nobody said so."""
    return _acting.get()()


@contextmanager
def acting_as(who: Callable[[], Who | None]) -> Iterator[None]:
    """Act as `who` inside the block. It is called when something is done: a request knows its user late."""
    token = _acting.set(who)
    try:
        yield
    finally:
        _acting.reset(token)


def service(name: str) -> Who:
    """A loop of the scheduler."""
    return {"type": "SERVICE", "id": name, "display_value": f"service {name}"}
