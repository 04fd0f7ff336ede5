"""Slots of concurrency limits, for async code."""

from flows.sdk.concurrency import ConcurrencySlotAcquisitionError
from flows.sdk.concurrency import aconcurrency as concurrency
from flows.sdk.concurrency import arate_limit as rate_limit
from flows.sdk.leases import ConcurrencySlotsLostError

__all__ = ["ConcurrencySlotAcquisitionError", "ConcurrencySlotsLostError", "concurrency", "rate_limit"]
