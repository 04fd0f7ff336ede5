"""Slots of concurrency limits, for sync code."""

from flows.sdk.concurrency import ConcurrencySlotAcquisitionError, concurrency, rate_limit
from flows.sdk.leases import ConcurrencySlotsLostError

__all__ = ["ConcurrencySlotAcquisitionError", "ConcurrencySlotsLostError", "concurrency", "rate_limit"]
