"""Values that runs send to each other while they run. Brings pydantic."""

import time
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PrivateAttr, TypeAdapter, create_model

from flows.sdk.backend import SentInput, current_backend
from flows.sdk.calling import Ask, either
from flows.sdk.context import MissingContextError, current_flow
from flows.sdk.ids import uuid7
from flows.sdk.parameters import as_json
from flows.sdk.steps import Sleep, Steps, drive, drive_async

T = TypeVar("T")
FIRST_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class InputMetadata:
    """Under which key a value was sent, by whom ("flow-run.<id>"), and to which run."""

    key: str
    sender: str
    receiver: UUID


class RunInput(BaseModel):
    """Base of what a run waits for: a pydantic model whose fields become a form.

    Any pydantic model does as well; this base adds `with_initial_data`, `receive`, `send_to` and `respond`.
    """

    model_config = ConfigDict(extra="forbid")
    _description: ClassVar[str | None] = None
    _metadata: InputMetadata | None = PrivateAttr(default=None)

    @property
    def metadata(self) -> InputMetadata:
        """Raises RuntimeError for a value that was not received."""
        if self._metadata is None:
            raise RuntimeError("Only a value that was received has metadata.")
        return self._metadata

    @classmethod
    def with_initial_data(cls, description: str | None = None, **values: Any) -> type[Self]:
        """The same model with other defaults, and with a text in Markdown above its form."""
        fields: Any = {name: (cls.model_fields[name].annotation, value) for name, value in values.items()}
        made = create_model(cls.__name__, __base__=cls, **fields)
        if description is not None:
            made._description = description
        return made

    @classmethod
    def receive(
        cls,
        timeout: float | None = 3600,
        poll_interval: float = 1,
        raise_timeout_error: bool = False,
        exclude_keys: Collection[str] = (),
        key_prefix: str | None = None,
        flow_run_id: UUID | str | None = None,
    ) -> "Inputs[Self]":
        """As `receive_input` for this model."""
        return Inputs(
            cls, timeout, poll_interval, raise_timeout_error, exclude_keys, key_prefix, flow_run_id, False
        )

    def send_to(
        self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
    ) -> Any:
        """As `send_input` of this value."""
        return send_input(self, flow_run_id, sender, key_prefix)

    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> Any:
        """Send `run_input` to the run that sent this value. Raises RuntimeError if no run did."""
        by, _, run_id = self.metadata.sender.rpartition(".")
        if by != "flow-run":
            raise RuntimeError("This value was not sent by a flow run: nobody could receive the response.")
        return send_input(run_input, run_id, sender, key_prefix)


def send_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> Any:
    """Leave a value for another run, which takes it with `receive_input` of the same type.

    sender: default: the surrounding run. key_prefix: default: made of the value's type.
    Raises LookupError if there is no such run. In async code the call is awaited.
    """
    flow = current_flow.get()
    by = sender or (f"flow-run.{flow.run.id}" if flow else "")
    key = f"{key_prefix or _prefix_of(type(run_input))}-{uuid7()}"
    return either(_send(UUID(str(flow_run_id)), SentInput(key, as_json(run_input), by)))


def receive_input(
    input_type: type[T],
    timeout: float | None = 3600,
    poll_interval: float = 1,
    raise_timeout_error: bool = False,
    exclude_keys: Collection[str] = (),
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> "Inputs[T]":
    """What is sent to the surrounding run as `input_type`: iterate over it, with `for` or `async for`.

    timeout: seconds to wait for each value; then the iteration ends, or raises TimeoutError if
        `raise_timeout_error`. None: wait for ever.
    poll_interval: seconds between two looks, at most.
    exclude_keys: keys of values to pass over. key_prefix: default: made of the type.
    flow_run_id: receive in the place of another run.
    with_metadata: yield `Received` (value and metadata) instead of values that are not `RunInput`.
    """
    return Inputs(
        input_type, timeout, poll_interval, raise_timeout_error, exclude_keys, key_prefix, flow_run_id,
        with_metadata,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Received(Generic[T]):
    """A value that is not a `RunInput`, and where it came from."""

    value: T
    metadata: InputMetadata


class Inputs(Generic[T]):
    """Iterates over what is sent to a run. Each value comes once."""

    def __init__(
        self,
        kind: type[T],
        timeout: float | None,
        poll_interval: float,
        raise_timeout_error: bool,
        exclude_keys: Collection[str],
        key_prefix: str | None,
        flow_run_id: UUID | str | None,
        with_metadata: bool,
    ) -> None:
        self._adapter = TypeAdapter(kind)
        self._timeout = timeout
        self._poll_interval = poll_interval
        self._raises = raise_timeout_error
        self._seen = set(exclude_keys)
        self._prefix = f"{key_prefix or _prefix_of(kind)}-"
        self._run_id = UUID(str(flow_run_id)) if flow_run_id else _surrounding_run()
        self._with_metadata = with_metadata
        self._waiting: list[SentInput] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.next()
        except TimeoutError:
            if self._raises:
                raise
            raise StopIteration from None

    async def __anext__(self) -> Any:
        try:
            return await drive_async(self._next())
        except TimeoutError:
            if self._raises:
                raise
            raise StopAsyncIteration from None

    def next(self) -> Any:
        """The next value. Raises TimeoutError."""
        return drive(self._next())

    def _next(self) -> Steps[Any]:
        until = None if self._timeout is None else time.monotonic() + self._timeout
        look = FIRST_LOOK_SECONDS
        while not self._waiting:
            runs = current_backend().runs
            self._waiting = yield Ask(runs.inputs, self._run_id, self._prefix, frozenset(self._seen))
            if not self._waiting and until is not None and time.monotonic() >= until:
                raise TimeoutError(f"Nothing was sent to flow run {self._run_id} in {self._timeout:g} s.")
            if not self._waiting:
                look = min(look * 1.5, self._poll_interval)
                yield Sleep(look)
        sent = self._waiting.pop(0)
        self._seen.add(sent.key)
        return self._received(sent)

    def _received(self, sent: SentInput) -> Any:
        value = self._adapter.validate_python(sent.value)
        metadata = InputMetadata(sent.key, sent.sender, self._run_id)
        if isinstance(value, RunInput):
            value._metadata = metadata
            return value
        return Received(value, metadata) if self._with_metadata else value


def _send(run_id: UUID, sent: SentInput) -> Steps[None]:
    yield Ask(current_backend().runs.put_input, run_id, sent)


def _prefix_of(kind: Any) -> str:
    return f"{getattr(kind, '__name__', str(kind)).lower()}-auto"


def _surrounding_run() -> UUID:
    flow = current_flow.get()
    if flow is None:
        raise MissingContextError("There is no flow run here to receive for: say which with flow_run_id.")
    return flow.run.id
