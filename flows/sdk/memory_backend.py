"""A backend that keeps everything in the process: for tests, and for flows called as plain Python."""

from collections.abc import Collection, Mapping, Sequence
from threading import Lock
from typing import Any
from uuid import UUID

from flows.sdk.backend import AlreadyThereError, Backend, SentInput, StoredVariable
from flows.sdk.recorder import Status, Verdict
from flows.sdk.states import Running, State, StateType


class MemoryRuns:
    """Knows the runs that are paused; the memory recorder tells it. Anything may be sent to any id."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._states: dict[UUID, State] = {}
        self._passed: dict[UUID, set[str]] = {}
        self._inputs: dict[UUID, dict[str, SentInput]] = {}

    def enter(self, run_id: UUID, state: State) -> Verdict:
        """Take note of a state that a run's own process proposes."""
        with self._lock:
            if state.type is StateType.PAUSED:
                return self._pause(run_id, state)
            before = self._states.get(run_id)
            if state.details.get("pause_over") and before is not None and before.is_running():
                return Verdict(Status.REJECT, before, "the run was resumed")
            self._states.pop(run_id, None)
            if state.is_terminal() or state.name == "AwaitingRetry":
                self._passed.pop(run_id, None)
            if state.is_terminal():
                self._inputs.pop(run_id, None)
        return Verdict(Status.ACCEPT, state)

    def _pause(self, run_id: UUID, state: State) -> Verdict:
        passed, key = self._passed.setdefault(run_id, set()), state.details.get("pause_key", "")
        if key in passed:
            return Verdict(Status.REJECT, Running(), "this pause was passed before")
        passed.add(key)
        self._states[run_id] = state
        return Verdict(Status.ACCEPT, state)

    def state(self, run_id: UUID) -> State | None:
        return self._states.get(run_id)

    def suspend(self, run_id: UUID, state: State) -> Verdict:
        return Verdict(Status.ABORT, None, "runs in memory have no agent that could take them up again")

    def resume(self, run_id: UUID, run_input: Mapping[str, Any] | None) -> Verdict:
        with self._lock:
            state = self._states.get(run_id)
            if state is None or state.type is not StateType.PAUSED:
                return Verdict(Status.ABORT, None, "the run is not paused")
            keys = state.details.get("run_input_keyset")
            if keys:
                answer = SentInput(keys["response"], dict(run_input or {}))
                self._inputs.setdefault(run_id, {})[answer.key] = answer
            running = self._states[run_id] = Running()
        return Verdict(Status.ACCEPT, running)

    def put_input(self, run_id: UUID, sent: SentInput) -> None:
        with self._lock:
            self._inputs.setdefault(run_id, {})[sent.key] = sent

    def input(self, run_id: UUID, key: str) -> SentInput | None:
        return self._inputs.get(run_id, {}).get(key)

    def inputs(self, run_id: UUID, prefix: str, but: Collection[str]) -> list[SentInput]:
        with self._lock:
            left = list(self._inputs.get(run_id, {}).values())
        return [sent for sent in left if sent.key.startswith(prefix) and sent.key not in but]

    def result(self, run_id: UUID, key: str) -> bytes | None:
        return None  # runs in memory are nobody else's to ask about


class MemoryVariables:
    """Variables, gone with the process."""

    def __init__(self) -> None:
        self._by_name: dict[str, StoredVariable] = {}

    def get(self, name: str) -> StoredVariable | None:
        return self._by_name.get(name)

    def set(self, name: str, value: Any, tags: Sequence[str], overwrite: bool) -> StoredVariable:
        if name in self._by_name and not overwrite:
            raise AlreadyThereError(f"There is a variable {name!r} already; replace it with overwrite=True.")
        stored = self._by_name[name] = StoredVariable(name, value, tuple(tags))
        return stored

    def unset(self, name: str) -> bool:
        return self._by_name.pop(name, None) is not None


class MemoryBlocks:
    """Blocks, gone with the process."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], dict[str, Any]] = {}

    def load(self, type: str, name: str) -> dict[str, Any] | None:
        return self._documents.get((type, name))

    def save(self, type: str, name: str, document: Mapping[str, Any], overwrite: bool) -> None:
        if (type, name) in self._documents and not overwrite:
            text = f"There is a block {type}/{name} already; replace it with overwrite=True."
            raise AlreadyThereError(text)
        self._documents[type, name] = dict(document)

    def delete(self, type: str, name: str) -> bool:
        return self._documents.pop((type, name), None) is not None


def memory_backend(runs: MemoryRuns | None = None) -> Backend:
    """An empty backend."""
    return Backend(runs or MemoryRuns(), MemoryVariables(), MemoryBlocks())


RUNS_IN_THIS_PROCESS = MemoryRuns()
IN_THIS_PROCESS = memory_backend(RUNS_IN_THIS_PROCESS)
