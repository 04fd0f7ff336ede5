"""Flows, and how they are loaded."""

from flows.sdk.entrypoints import load_flow as load_flow_from_entrypoint
from flows.sdk.flows import Flow, flow

__all__ = ["Flow", "flow", "load_flow_from_entrypoint"]
