"""Slots of concurrency limits: `flows.concurrency.sync` and `flows.concurrency.asyncio`."""

from flows.sdk.concurrency import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    concurrency,
    rate_limit,
)
from flows.sdk.leases import ConcurrencySlotsLostError

__all__ = [
    "AcquireConcurrencySlotTimeoutError",
    "ConcurrencySlotAcquisitionError",
    "ConcurrencySlotsLostError",
    "concurrency",
    "rate_limit",
]
