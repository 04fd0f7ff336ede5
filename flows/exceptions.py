"""What the SDK raises."""

from flows.sdk.backend import AlreadyThereError, NoBackendError
from flows.sdk.client import PortalApiError
from flows.sdk.context import MissingContextError
from flows.sdk.drawing import FlowVisualizationError, VisualizationUnsupportedError
from flows.sdk.hashing import HashError
from flows.sdk.inputs import UpstreamTaskError
from flows.sdk.mapping import MappingLengthMismatch, MappingMissingIterable
from flows.sdk.parameters import ParameterTypeError
from flows.sdk.pausing import FlowPauseTimeout, NotPausedError
from flows.sdk.recorder import Aborted
from flows.sdk.run_deployment import FlowRunWaitTimeout
from flows.sdk.sealing import UnverifiedError
from flows.sdk.serializers import SerializationError
from flows.sdk.signals import TerminationSignal
from flows.sdk.states import CancelledRun, CrashedRun, FailedRun, MissingResult, PausedRun, UnfinishedRun

# The names that they have in Prefect.
Abort = Aborted
ObjectAlreadyExists = AlreadyThereError
PrefectHTTPStatusError = PortalApiError

__all__ = [
    "Abort",
    "Aborted",
    "AlreadyThereError",
    "CancelledRun",
    "CrashedRun",
    "FailedRun",
    "FlowPauseTimeout",
    "FlowRunWaitTimeout",
    "FlowVisualizationError",
    "HashError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "NoBackendError",
    "NotPausedError",
    "ObjectAlreadyExists",
    "ParameterTypeError",
    "PausedRun",
    "PortalApiError",
    "PrefectHTTPStatusError",
    "SerializationError",
    "TerminationSignal",
    "UnfinishedRun",
    "UnverifiedError",
    "UpstreamTaskError",
    "VisualizationUnsupportedError",
]
