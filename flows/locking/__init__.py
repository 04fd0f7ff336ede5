"""Locks on cache keys, for `CachePolicy.configure(lock_manager=...)`."""
