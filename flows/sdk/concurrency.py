"""`concurrency` and `rate_limit`: slots of the limits that are set up in Portal, as context managers.

A limit that does not exist holds nobody back, and neither does a process that knows no Portal.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

from flows.sdk import portal
from flows.sdk.client import NoAnswer, PortalApiError
from flows.sdk.context import current_flow, current_task
from flows.sdk.ids import uuid7
from flows.sdk.leases import (
    LEASE_SECONDS,
    ConcurrencySlotsLostError,
    Lease,
    Loss,
    LossOfTask,
    SlotsLost,
    loss_of_thread,
    lost_slots,
)
from flows.sdk.resting import Rest
from flows.sdk.steps import Steps, drive, drive_async

logger = logging.getLogger("flows.concurrency")

FIRST_POLL = 0.05
LONGEST_POLL = 0.5  # how long a freed slot may stay unnoticed
# Where a bell rings for whoever is next, looking is only for a ring that was lost.
FIRST_ON_BELL = 1.0
LONGEST_ON_BELL = 2.0

Names = str | Sequence[str]


class ConcurrencySlotAcquisitionError(Exception):
    """The slots cannot be had: too many were asked for, or, with `strict`, there is no such limit."""


class AcquireConcurrencySlotTimeoutError(TimeoutError):
    """The slots were not free within `timeout_seconds`."""


@dataclass(slots=True)
class Wanted:
    """Slots that this code wants. `lease_duration` None: for a rate. `missing`: names that have no limit."""

    names: list[str]
    occupy: int
    timeout_seconds: float | None
    strict: bool
    lease_duration: float | None
    lease_id: UUID = field(default_factory=uuid7)
    missing: Sequence[str] = ()

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
    raise_on_lease_renewal_failure: bool | None = None,
) -> Iterator[None]:
    """Hold `occupy` slots of each of these limits inside the block; wait for them before.

    All are taken together or none. They are free again when the block ends, when the flow run ends in
    any way, or when its process has not been heard of for `lease_duration` seconds. A limit of 0 gives none
    until somebody raises it.

    timeout_seconds: how long to wait for them; None: for ever. strict: a limit must exist.
    raise_on_lease_renewal_failure: end the block with ConcurrencySlotsLostError once its slots are lost, as
    when the server was away for too long; a call that blocks is ended when it returns. False: only log it;
    None: as `strict`.
    Raises AcquireConcurrencySlotTimeoutError and ConcurrencySlotAcquisitionError.
    """
    wanted = Wanted(_listed(names), occupy, timeout_seconds, strict, lease_duration)
    raises = strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure
    lease = drive(taken(wanted, loss_of_thread() if raises else None))
    try:
        yield
    except SlotsLost:
        raise ConcurrencySlotsLostError(lost_slots(wanted.names)) from None
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
    raise_on_lease_renewal_failure: bool | None = None,
) -> AsyncIterator[None]:
    """As `concurrency`, for async code."""
    wanted = Wanted(_listed(names), occupy, timeout_seconds, strict, lease_duration)
    raises = strict if raise_on_lease_renewal_failure is None else raise_on_lease_renewal_failure
    loss = LossOfTask() if raises else None
    lease = await drive_async(taken(wanted, loss))
    try:
        yield
    except BaseException as error:
        if loss is not None and loss.caused(error):
            raise ConcurrencySlotsLostError(lost_slots(wanted.names)) from None
        raise
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
    drive(_acquired(Wanted(_listed(names), occupy, timeout_seconds, strict, None)))


async def arate_limit(
    names: Names, occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """As `rate_limit`, for async code."""
    await drive_async(_acquired(Wanted(_listed(names), occupy, timeout_seconds, strict, None)))


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(dict.fromkeys(names))


def taken(
    wanted: Wanted, loss: Loss | None = None, on_wait: Callable[[], object] = lambda: None
) -> Steps[Lease | None]:
    """Wait for the slots, and hold them until the lease is released; None if there was nothing to take.

    `loss` is told when they are lost before; `on_wait` is called once, if none is free at first.
    """
    server = yield from _acquired(wanted, on_wait)
    return Lease(server, wanted.lease_id, wanted.names, wanted.lease_duration, loss) if server else None


def _acquired(wanted: Wanted, on_wait: Callable[[], object] = lambda: None) -> Steps[portal.Portal | None]:
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
            yield from _leave_line(server, wanted)
            raise AcquireConcurrencySlotTimeoutError(_too_long(wanted, answer["blocked_by"]))
        if not said:
            logger.info("Waiting for %d slot(s) of limit '%s'", wanted.occupy, answer["blocked_by"])
            on_wait()
            said = True
        delay = FIRST_POLL if answer["position"] == 1 else min(1.5 * delay, LONGEST_POLL)
        yield _until_next_look(server, wanted, answer, delay, left)
    wanted.missing = answer["missing"]
    if answer["missing"]:
        logger.debug("There is no concurrency limit %s: going on", ", ".join(answer["missing"]))
    return server if len(answer["missing"]) < len(wanted.names) else None


def _until_next_look(
    server: portal.Portal, wanted: Wanted, answer: dict[str, Any], delay: float, left: float | None
) -> Rest:
    """Slots go to those who wait in their order, so only the first in line has to look often."""
    by_clock = max(FIRST_POLL / 10, min(answer["retry_after"] or delay, LONGEST_POLL))
    on_bell = answer["retry_after"] or (FIRST_ON_BELL if answer["position"] == 1 else LONGEST_ON_BELL)
    most = LONGEST_ON_BELL if left is None else left
    bell = getattr(server, "bell", None)  # not every Portal has one
    return Rest(bell, wanted.lease_id, min(by_clock, most), min(on_bell, most))


def _leave_line(server: portal.Portal, wanted: Wanted) -> Steps[None]:
    """Let those behind pass at once; without it they would wait for a few seconds."""
    try:
        yield from portal.ask(lambda: server.post(f"concurrency_limits/leases/{wanted.lease_id}/release", {}))
    except (NoAnswer, PortalApiError) as error:
        logger.debug("Could not leave the line for %s: %s", ", ".join(wanted.names), error)


def _asked(server: portal.Portal, body: dict[str, Any]) -> Steps[dict[str, Any]]:
    try:
        answer: dict[str, Any] = yield from portal.ask(
            lambda: server.post("concurrency_limits/acquire", body)
        )
    except PortalApiError as error:
        raise ConcurrencySlotAcquisitionError(str(error)) from error
    return answer


def _too_long(wanted: Wanted, blocked_by: str) -> str:
    return f"Limit '{blocked_by}' had no {wanted.occupy} slot(s) free within {wanted.timeout_seconds:g} s."
