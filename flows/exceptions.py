"""What the SDK raises."""

from flows.sdk.backend import AlreadyThereError, NoBackendError
from flows.sdk.context import MissingContextError
from flows.sdk.inputs import UpstreamTaskError
from flows.sdk.parameters import ParameterTypeError
from flows.sdk.pausing import FlowPauseTimeout, NotPausedError
from flows.sdk.states import UnfinishedRun

__all__ = [
    "AlreadyThereError",
    "FlowPauseTimeout",
    "MissingContextError",
    "NoBackendError",
    "NotPausedError",
    "ParameterTypeError",
    "UnfinishedRun",
    "UpstreamTaskError",
]
