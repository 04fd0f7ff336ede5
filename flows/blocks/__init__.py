"""Typed configuration, stored encrypted."""

from flows.sdk.blocks import Block, Secret

__all__ = ["Block", "Secret"]
