"""How a process waits for slots: by the clock, or on a bell that says whose turn it is."""

from collections.abc import Callable
from uuid import UUID

from flows.sdk.steps import Sleep

Bell = Callable[[UUID, float], None]

_bell: Bell | None = None


def fill(bell: Bell) -> None:
    """Set the bell of this process: it returns when it rings for this lease, or after so many seconds."""
    global _bell
    _bell = bell


class Rest(Sleep):
    """Let `seconds` pass, or wait on the bell, `on_bell` seconds at most.

    Async code waits by the clock: a thread for each waiter would cost more.
    """

    __slots__ = ("lease_id", "on_bell")

    def __init__(self, lease_id: UUID, seconds: float, on_bell: float) -> None:
        super().__init__(seconds)
        self.lease_id = lease_id
        self.on_bell = on_bell

    def run(self) -> None:
        if _bell is None:
            super().run()
        else:
            _bell(self.lease_id, self.on_bell)
