"""Locks within one process."""

from flows.sdk.locking import MemoryLockManager

__all__ = ["MemoryLockManager"]
