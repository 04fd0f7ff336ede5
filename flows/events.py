"""Events: say that something happened."""

from flows.sdk.events import Event, emit_event

__all__ = ["Event", "emit_event"]
