"""Variables of the workspace."""

from flows.sdk.variables import Variable

__all__ = ["Variable"]
