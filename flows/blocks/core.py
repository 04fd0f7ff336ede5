"""The base of blocks, where Prefect's users look for it."""

from flows.sdk.blocks import Block

__all__ = ["Block"]
