"""Locks among all processes that share a folder."""

from flows.sdk.locking import FileSystemLockManager

__all__ = ["FileSystemLockManager"]
