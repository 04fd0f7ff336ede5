"""Blocks that come with the SDK, where Prefect's users look for them."""

from flows.sdk.blocks import Secret

__all__ = ["Secret"]
