"""Where submitted tasks run."""

from flows.sdk.runners import ThreadPoolTaskRunner

__all__ = ["ThreadPoolTaskRunner"]
