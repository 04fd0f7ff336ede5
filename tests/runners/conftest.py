"""Flows in memory, whose tasks run in real processes."""

from tests.flows.conftest import recorder

__all__ = ["recorder"]
