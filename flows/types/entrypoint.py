"""How agents find a flow."""

from flows.sdk.deployment_options import EntrypointType

__all__ = ["EntrypointType"]
