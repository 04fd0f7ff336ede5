"""Slots of concurrency limits, for async code."""

from flows.sdk.concurrency import ConcurrencySlotAcquisitionError
from flows.sdk.concurrency import aconcurrency as concurrency
from flows.sdk.concurrency import arate_limit as rate_limit

__all__ = ["ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]
