"""Slots of concurrency limits, for sync code."""

from flows.sdk.concurrency import ConcurrencySlotAcquisitionError, concurrency, rate_limit

__all__ = ["ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]
