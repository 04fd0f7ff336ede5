"""What the SDK raises."""

from flows.sdk.backend import AlreadyThereError, NoBackendError
from flows.sdk.context import MissingContextError
from flows.sdk.drawing import FlowVisualizationError, VisualizationUnsupportedError
from flows.sdk.inputs import UpstreamTaskError
from flows.sdk.parameters import ParameterTypeError
from flows.sdk.pausing import FlowPauseTimeout, NotPausedError
from flows.sdk.serializers import SerializationError
from flows.sdk.signals import TerminationSignal
from flows.sdk.states import MissingResult, UnfinishedRun

__all__ = [
    "AlreadyThereError",
    "FlowPauseTimeout",
    "FlowVisualizationError",
    "MissingContextError",
    "MissingResult",
    "NoBackendError",
    "NotPausedError",
    "ParameterTypeError",
    "SerializationError",
    "TerminationSignal",
    "UnfinishedRun",
    "UpstreamTaskError",
    "VisualizationUnsupportedError",
]
