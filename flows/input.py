"""Input for runs, from people and from other runs."""

from flows.sdk.run_input import Received, RunInput, receive_input, send_input

__all__ = ["Received", "RunInput", "receive_input", "send_input"]
