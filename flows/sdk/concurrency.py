"""`concurrency` and `rate_limit`: slots of the limits that are set up in Portal, as context managers.

A limit that does not exist holds nobody back, and neither does a process that knows no Portal.
"""

import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from flows.sdk import portal
from flows.sdk.client import NoAnswer, PortalApiError
from flows.sdk.context import current_flow, current_task
from flows.sdk.ids import uuid7
from flows.sdk.steps import Sleep, Steps, drive, drive_async

logger = logging.getLogger("flows.concurrency")

LEASE_SECONDS = 300.0
FIRST_POLL = 0.05
LONGEST_POLL = 0.5  # how long a freed slot may stay unnoticed

Names = str | Sequence[str]


class ConcurrencySlotAcquisitionError(Exception):
    """The slots cannot be had: too many were asked for, or, with `strict`, there is no such limit."""


class AcquireConcurrencySlotTimeoutError(TimeoutError):
    """The slots were not free within `timeout_seconds`."""


@dataclass(slots=True)
class _Wanted:
    """Slots that this code wants. `lease_duration` None: for a rate."""

    names: list[str]
    occupy: int
    timeout_seconds: float | None
    strict: bool
    lease_duration: float | None
    lease_id: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        if self.occupy < 1:
            raise ValueError(f"occupy must be 1 or more slots, not {self.occupy}.")
        if self.lease_duration is not None and self.lease_duration < 1:
            raise ValueError(f"lease_duration must be 1 second or more, not {self.lease_duration:g}.")

    def body(self) -> dict[str, Any]:
        flow, task = current_flow.get(), current_task.get()
        runs = [f"flow run {flow.run.name}"] if flow else []
        if task:
            runs.append(f"task run {task.name}")
        return {
            "lease_id": str(self.lease_id),
            "names": self.names,
            "occupy": self.occupy,
            "lease_seconds": self.lease_duration,
            "flow_run_id": str(flow.run.id) if flow else None,  # whose end frees the slots
            "task_run_id": str(task.id) if task else None,
            "strict": self.strict,
            "holder": ", ".join(runs)[:400],
        }


@contextmanager
def concurrency(
    names: Names,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    lease_duration: float = LEASE_SECONDS,
) -> Iterator[None]:
    """Hold `occupy` slots of each of these limits inside the block; wait for them before.

    All are taken together or none. They are free again when the block ends, when the flow run ends in
    any way, or when its process has not been heard of for `lease_duration` seconds.

    timeout_seconds: how long to wait for them; None: for ever. strict: a limit must exist.
    Raises AcquireConcurrencySlotTimeoutError and ConcurrencySlotAcquisitionError.
    """
    wanted = _Wanted(_listed(names), occupy, timeout_seconds, strict, lease_duration)
    server = drive(_acquired(wanted))
    lease = _Lease(server, wanted) if server else None
    try:
        yield
    finally:
        if lease:
            drive(lease.release())


@asynccontextmanager
async def aconcurrency(
    names: Names,
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,
    lease_duration: float = LEASE_SECONDS,
) -> AsyncIterator[None]:
    """As `concurrency`, for async code."""
    wanted = _Wanted(_listed(names), occupy, timeout_seconds, strict, lease_duration)
    server = await drive_async(_acquired(wanted))
    lease = _Lease(server, wanted) if server else None
    try:
        yield
    finally:
        if lease:
            await drive_async(lease.release())


def rate_limit(
    names: Names, occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until `occupy` slots of each of these limits are free, and take them. They free themselves,
    `slot_decay_per_second` of the limit by `slot_decay_per_second`.

    Options and errors as in `concurrency`; a limit without decay is an error.
    """
    drive(_acquired(_Wanted(_listed(names), occupy, timeout_seconds, strict, None)))


async def arate_limit(
    names: Names, occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """As `rate_limit`, for async code."""
    await drive_async(_acquired(_Wanted(_listed(names), occupy, timeout_seconds, strict, None)))


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(dict.fromkeys(names))


def _acquired(wanted: _Wanted) -> Steps[portal.Portal | None]:
    """Wait for the slots; return the Portal that gave them, None if there was nothing to take."""
    server = portal.reached() if wanted.names else None
    if server is None:
        if wanted.names and wanted.strict:
            raise ConcurrencySlotAcquisitionError("There are no concurrency limits without a Portal.")
        return None
    body, delay, said = wanted.body(), FIRST_POLL, False
    deadline = None if wanted.timeout_seconds is None else monotonic() + wanted.timeout_seconds
    while not (answer := (yield from _asked(server, body)))["granted"]:
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            raise AcquireConcurrencySlotTimeoutError(_too_long(wanted, answer["blocked_by"]))
        if not said:
            logger.info("Waiting for %d slot(s) of limit '%s'", wanted.occupy, answer["blocked_by"])
            said = True
        pause = max(FIRST_POLL / 10, min(answer["retry_after"] or delay, LONGEST_POLL))
        yield Sleep(pause if left is None else min(pause, left))
        delay = min(1.5 * delay, LONGEST_POLL)
    if answer["missing"]:
        logger.debug("There is no concurrency limit %s: going on", ", ".join(answer["missing"]))
    return server if len(answer["missing"]) < len(wanted.names) else None


def _asked(server: portal.Portal, body: dict[str, Any]) -> Steps[dict[str, Any]]:
    try:
        answer: dict[str, Any] = yield from portal.ask(
            lambda: server.post("concurrency_limits/acquire", body)
        )
    except PortalApiError as error:
        raise ConcurrencySlotAcquisitionError(str(error)) from error
    return answer


def _too_long(wanted: _Wanted, blocked_by: str) -> str:
    return f"Limit '{blocked_by}' had no {wanted.occupy} slot(s) free within {wanted.timeout_seconds:g} s."


class _Lease:
    """Slots that are held: a thread renews their lease until they are released."""

    def __init__(self, server: portal.Portal, wanted: _Wanted) -> None:
        self._server = server
        self._seconds = wanted.lease_duration or LEASE_SECONDS
        self._names = ", ".join(wanted.names)
        self._path = f"concurrency_limits/leases/{wanted.lease_id}"
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="concurrency-lease", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._released.wait(self._seconds / 3):
            try:
                answer = self._server.post(f"{self._path}/renew", {"lease_seconds": self._seconds})
            except (NoAnswer, PortalApiError) as error:
                logger.warning("The lease of %s could not be renewed: %s", self._names, error)
                continue
            if not answer["held"]:
                logger.error("The slots of %s were lost: others may hold them now", self._names)
                return

    def release(self) -> Steps[None]:
        """Free the slots. A server that is away frees them itself when the lease has expired."""
        self._released.set()
        try:
            yield from portal.ask(lambda: self._server.post(f"{self._path}/release", {}))
        except (NoAnswer, PortalApiError) as error:
            logger.warning("The slots of %s could not be released: %s", self._names, error)
