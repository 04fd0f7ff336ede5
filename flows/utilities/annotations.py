"""Marks on arguments of flows and tasks."""

from flows.sdk.annotations import allow_failure, opaque, quote, unmapped

__all__ = ["allow_failure", "opaque", "quote", "unmapped"]
