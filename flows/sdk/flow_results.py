"""What flows return, kept when they complete: for whoever started the run, and for the next try of a parent.

A root run keeps it under its id; a subflow under its place in the tree, code and parameters, as tasks do, so
that the next try of its parent takes it instead of running it again. (Its id is another one in each try.)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.sdk.backend import current_backend
from flows.sdk.hashing import HashError, hash_objects
from flows.sdk.result_options import is_asked_for_by
from flows.sdk.results import Logger, ResultStore, opened
from flows.sdk.serializers import SerializationError
from flows.sdk.states import Completed, MissingResult, State, StoredValue

if TYPE_CHECKING:
    from flows.sdk.context import FlowRunContext
    from flows.sdk.flows import Flow
    from flows.sdk.recorder import Recorder
    from flows.sdk.task_run import TaskRun


def returned_key(run_id: UUID) -> str:
    """The key of what a root run returned."""
    return f"{run_id}/returned"


def keep(flow: "Flow[Any, Any]", recorder: "Recorder", key: str, value: Any, logger: Logger) -> None:
    """Keep what a flow returned, if that is wanted. Durable with the state that the run proposes next."""
    keeper = recorder.results
    asked = is_asked_for_by(flow)
    if flow.is_generator or not (keeper.durable if asked is None else asked):
        return
    try:
        store = ResultStore(serializer=flow.result_serializer, of_run=True, keeper=keeper)
        store.write(key, value.fetched() if isinstance(value, StoredValue) else value)
    except (SerializationError, OSError) as error:
        hint = "persist_result=False says that this is fine"
        logger.warning("The return value is not kept: %s; %s", error, hint)


class KeptSubflow:
    """A call of a flow within a flow, as an earlier try of the outer one may have made it."""

    def __init__(
        self, flow: "Flow[Any, Any]", values: Mapping[str, Any], parent: "FlowRunContext", call: "TaskRun"
    ) -> None:
        self._replay = None if flow.is_generator or is_asked_for_by(flow) is False else parent.replay
        self._values = dict(values)
        self._call = call
        self._keeper = parent.recorder.results
        self._flow = flow

    def key(self, scope: str) -> str:
        """Where it is kept, below `scope`: the place of the outer run. "" for parameters without a hash."""
        from flows.sdk.cache_policies import hash_of_source

        if not self._keeper.durable:
            return ""
        try:
            same = hash_objects(self._flow.name, hash_of_source(self._flow.fn), self._values)
        except HashError:
            return ""
        return f"{scope}/{self._call.task_key}-{self._call.dynamic_key}/{same}"

    def found(self, key: str, logger: Logger) -> State | None:
        """The completed state of the earlier call."""
        if self._replay and (earlier := self._replay.find(self._call.key, (), self._values)):
            return Completed(name="Cached", data=earlier.data)
        if not key or self._flow.is_generator or is_asked_for_by(self._flow) is False:
            return None
        record = ResultStore(of_run=True, keeper=self._keeper).read(key, logger)
        return Completed(name="Cached", data=record.result) if record else None

    def remember(self, state: State) -> None:
        if self._replay and state.is_completed():
            self._replay.remember(self._call.key, (), self._values, state)


class Returned(StoredValue):
    """What a run elsewhere returned; fetched when somebody asks for it."""

    __slots__ = ("name", "run_id")

    def __init__(self, run_id: UUID, name: str) -> None:
        self.run_id = run_id
        self.name = name

    def fetched(self) -> Any:
        """Raises MissingResult."""
        key = returned_key(self.run_id)
        content = current_backend().runs.result(self.run_id, key)
        if content is None:
            raise MissingResult(
                f"Flow run {self.name!r} kept no result: it is over for too long, its flow says "
                "persist_result=False, or what it returned could not be serialised (its log says so)."
            )
        return opened(content)
