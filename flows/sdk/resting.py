"""How a process waits for slots: by the clock, or on a bell that says whose turn it is."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from flows.sdk.steps import Sleep


class Bell(Protocol):
    """Both return when it may be the turn of this lease, after `seconds` at the latest."""

    def rest(self, lease_id: UUID, seconds: float) -> None: ...

    async def rest_async(self, lease_id: UUID, seconds: float) -> None: ...


_bell: Callable[[], Bell] | None = None


def fill(bell: Callable[[], Bell]) -> None:
    """Say how the bell of this process is got."""
    global _bell
    _bell = bell


class Rest(Sleep):
    """Let `seconds` pass, or wait on the bell, `on_bell` seconds at most."""

    __slots__ = ("lease_id", "on_bell")

    def __init__(self, lease_id: UUID, seconds: float, on_bell: float) -> None:
        super().__init__(seconds)
        self.lease_id = lease_id
        self.on_bell = on_bell

    def run(self) -> None:
        if _bell is None:
            super().run()
        else:
            _bell().rest(self.lease_id, self.on_bell)

    async def run_async(self) -> None:
        if _bell is None:
            await super().run_async()
        else:
            await _bell().rest_async(self.lease_id, self.on_bell)
