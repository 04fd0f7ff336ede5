"""How a process waits for slots: by the clock, or on a bell that says whose turn it is."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from flows.sdk.steps import Sleep


class Bell(Protocol):
    """Both return when it may be the turn of this lease, after `seconds` at the latest.

    False: nobody can ring just now, and no time has passed.
    """

    def rest(self, lease_id: UUID, seconds: float) -> bool: ...

    async def rest_async(self, lease_id: UUID, seconds: float) -> bool: ...


_bell: Callable[[], Bell] | None = None


def fill(bell: Callable[[], Bell]) -> None:
    """Say how the bell of this process is got."""
    global _bell
    _bell = bell


def bell_here() -> Bell | None:
    """The bell of this process; None if it has none."""
    return _bell() if _bell else None


class Rest(Sleep):
    """Wait on the bell, `on_bell` seconds at most; where none rings, let `seconds` pass."""

    __slots__ = ("bell", "lease_id", "on_bell")

    def __init__(self, bell: Bell | None, lease_id: UUID, seconds: float, on_bell: float) -> None:
        super().__init__(seconds)
        self.bell = bell
        self.lease_id = lease_id
        self.on_bell = on_bell

    def run(self) -> None:
        if self.bell is None or not self.bell.rest(self.lease_id, self.on_bell):
            super().run()

    async def run_async(self) -> None:
        if self.bell is None or not await self.bell.rest_async(self.lease_id, self.on_bell):
            await super().run_async()
