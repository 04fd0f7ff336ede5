"""States of flow runs and task runs: a type from a closed set, and a name that says more."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from flows.sdk.clock import now
from flows.sdk.ids import uuid7


class StateType(str, Enum):
    """What a run is, as far as orchestration is concerned."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"


TERMINAL = frozenset({StateType.CANCELLED, StateType.COMPLETED, StateType.FAILED, StateType.CRASHED})


class StoredValue(ABC):
    """Stands in a state for the value of a run elsewhere."""

    __slots__ = ()

    @abstractmethod
    def fetched(self) -> Any:
        """The value. Raises MissingResult."""


@dataclass(frozen=True, slots=True)
class State:
    """One state of a run. Immutable: a change is a new state with a new id.

    `details` is JSON (for instance `scheduled_time`, an ISO 8601 string in UTC);
    `data` is the value or exception of a finished run and never leaves the process.
    """

    type: StateType
    name: str = ""
    message: str = ""
    timestamp: datetime = field(default_factory=now)
    id: UUID = field(default_factory=uuid7)
    details: dict[str, Any] = field(default_factory=dict, hash=False)
    data: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.type.value.capitalize())

    def is_terminal(self) -> bool:
        return self.type in TERMINAL

    def is_completed(self) -> bool:
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        return self.type is StateType.CANCELLED

    def is_running(self) -> bool:
        return self.type is StateType.RUNNING

    def is_pending(self) -> bool:
        return self.type is StateType.PENDING

    def is_paused(self) -> bool:
        return self.type is StateType.PAUSED

    def is_scheduled(self) -> bool:
        return self.type is StateType.SCHEDULED

    def is_cancelling(self) -> bool:
        return self.type is StateType.CANCELLING

    def is_final(self) -> bool:
        """As `is_terminal`, by Prefect's name."""
        return self.is_terminal()

    def result(self, raise_on_failure: bool = True) -> Any:
        """The value of a completed run; a failed run raises (or returns) its exception.

        Of a run elsewhere it is fetched now. Raises MissingResult if it was not kept.
        """
        if isinstance(self.data, StoredValue):
            return self.data.fetched()
        if isinstance(self.data, BaseException):
            if raise_on_failure and not self.is_completed():
                raise self.data
            return self.data
        if raise_on_failure and not self.is_completed():
            raise _first_exception(self)
        return self.data

    async def aresult(self, raise_on_failure: bool = True) -> Any:
        """As `result`."""
        return self.result(raise_on_failure)

    def anew(self) -> "State":
        """The same state, entered now by another run."""
        return replace(self, id=uuid7(), timestamp=now())

    def fresh_copy(self, **changes: Any) -> "State":
        """As `anew`, with changes, by Prefect's name."""
        return replace(self.anew(), **changes)

    def __str__(self) -> str:
        """As in "Completed()" or "Failed('no such file')"."""
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


class MissingResult(RuntimeError):
    """The run completed, but what it returned was not kept, or is kept no more."""


class UnfinishedRun(RuntimeError):
    """A result was asked of a run that has none: cancelled, crashed, or not yet over."""


class CancelledRun(UnfinishedRun):
    """The run was cancelled."""


class CrashedRun(UnfinishedRun):
    """The run crashed."""


class FailedRun(UnfinishedRun):
    """The run failed without an exception."""


class PausedRun(UnfinishedRun):
    """The run is paused."""


def _first_exception(state: State) -> BaseException:
    """The exception of the first state that went wrong among those `state` was made of."""
    inner = state.data if isinstance(state.data, list | tuple | set) else [state.data]
    for data in inner:
        if isinstance(data, BaseException):
            return data
        if isinstance(data, State) and data.is_terminal() and not data.is_completed():
            return _first_exception(data)
    kind = _WITHOUT_RESULT.get(state.type, UnfinishedRun)
    return kind(f"The run has no result: it is {state}.")


_WITHOUT_RESULT = {
    StateType.CANCELLED: CancelledRun,
    StateType.CRASHED: CrashedRun,
    StateType.FAILED: FailedRun,
    StateType.PAUSED: PausedRun,
}


def Scheduled(scheduled_time: datetime | None = None, **kwargs: Any) -> State:
    """To be run at `scheduled_time` (an aware datetime; None: now)."""
    when = scheduled_time or now()
    details = {"scheduled_time": when.astimezone(UTC).isoformat(), **kwargs.pop("details", {})}
    return State(StateType.SCHEDULED, details=details, **kwargs)


def AwaitingRetry(scheduled_time: datetime, **kwargs: Any) -> State:
    """Failed, and to be tried again at `scheduled_time`."""
    return Scheduled(scheduled_time, name="AwaitingRetry", **kwargs)


def AwaitingConcurrencySlot(scheduled_time: datetime | None = None, **kwargs: Any) -> State:
    """Ready to run, but a concurrency limit has no slot free."""
    return Scheduled(scheduled_time, name="AwaitingConcurrencySlot", **kwargs)


def Late(scheduled_time: datetime, **kwargs: Any) -> State:
    """Still waiting although it was due at `scheduled_time`."""
    return Scheduled(scheduled_time, name="Late", **kwargs)


def Pending(**kwargs: Any) -> State:
    return State(StateType.PENDING, **kwargs)


def Running(**kwargs: Any) -> State:
    return State(StateType.RUNNING, **kwargs)


def Retrying(**kwargs: Any) -> State:
    return State(StateType.RUNNING, name="Retrying", **kwargs)


def Paused(**kwargs: Any) -> State:
    """Waiting for somebody; its process waits with it."""
    return State(StateType.PAUSED, **kwargs)


def Suspended(**kwargs: Any) -> State:
    """Waiting for somebody; no process does. Resumed by being scheduled again."""
    details = {**kwargs.pop("details", {}), "pause_reschedule": True}
    return State(StateType.PAUSED, name="Suspended", details=details, **kwargs)


def Completed(**kwargs: Any) -> State:
    return State(StateType.COMPLETED, **kwargs)


def Failed(**kwargs: Any) -> State:
    return State(StateType.FAILED, **kwargs)


def Crashed(**kwargs: Any) -> State:
    return State(StateType.CRASHED, **kwargs)


def Cancelling(**kwargs: Any) -> State:
    return State(StateType.CANCELLING, **kwargs)


def Cancelled(**kwargs: Any) -> State:
    return State(StateType.CANCELLED, **kwargs)


def is_suspension(state: State) -> bool:
    """Whether the run waits without a process."""
    return state.type is StateType.PAUSED and bool(state.details.get("pause_reschedule"))


def keeps_process(state: State) -> bool:
    """Whether the process that executes the run goes on owning it, lease included."""
    if state.type is StateType.SCHEDULED:
        return bool(state.details.get("retry_in_process"))
    if state.type is StateType.PAUSED:
        return not is_suspension(state)
    return state.type not in TERMINAL


def get_state_exception(state: State) -> BaseException:
    """The exception of a state that is not completed. Raises ValueError for a completed one."""
    if state.is_completed():
        raise ValueError(f"A completed run has no exception: {state}.")
    return state.data if isinstance(state.data, BaseException) else _first_exception(state)


def raise_state_exception(state: State) -> None:
    """Raise the exception of a state that is failed, crashed, cancelled or paused; else do nothing."""
    if state.is_failed() or state.is_crashed() or state.is_cancelled() or state.is_paused():
        raise get_state_exception(state)


async def aget_state_exception(state: State) -> BaseException:
    """As `get_state_exception`."""
    return get_state_exception(state)


async def araise_state_exception(state: State) -> None:
    """As `raise_state_exception`."""
    raise_state_exception(state)
