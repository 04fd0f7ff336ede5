"""An isolated process: executes one run with an interpreter, environment and folder of its own.

The agent starts it and writes the order to its standard input; everything else goes through the API, with a
token that opens this run alone.
"""

import os
import pickle
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from typing import NoReturn
from uuid import UUID

from flows.sdk import backend
from flows.sdk.backend import Backend
from flows.sdk.client import ApiClient
from flows.sdk.execution import Order, Stamps, execute, leave, live
from flows.sdk.http import HttpRecorder
from flows.sdk.http_backend import http_backend
from flows.sdk.http_errands import HttpErrands
from flows.sdk.recorder import Verdict
from flows.sdk.states import State

NEEDED = ("pydantic", "cloudpickle", "coolname", "fsspec")  # most runs load only some of them
# Of each thread, where memory is limited: the usual 8 MiB would leave room for few tasks at a time. It is
# what Python's threads have on Alpine Linux.
STACK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class IsolatedOrder:
    """The order, and how to report. `api_key` is the run's token, `forked` when the process was started,
    `memory_limit` what to tell a flow that runs out of memory: who allows how much ("": nobody limits it)."""

    order: Order
    api_url: str
    api_key: str
    forked: datetime
    memory_limit: str = ""


class IsolatedRecorder(HttpRecorder):
    """Reports for the agent that claimed the run: how it came to be, and what it has used, too."""

    def __init__(self, given: IsolatedOrder, stamps: Stamps) -> None:
        run, client = given.order.run, ApiClient(given.api_url, given.api_key)
        super().__init__(client, run.id, run.attempt, on_abort=leave, shares_results=bool(run.result_scope))
        self._stamps = stamps
        self._memory_limit = given.memory_limit

    def transition(self, run_id: UUID, state: State) -> Verdict:
        if run_id == self.run_id:
            state = self._stamps.on(self._explained(state))
        return super().transition(run_id, state)

    def _explained(self, state: State) -> State:
        if self._memory_limit and isinstance(state.data, MemoryError):
            return replace(state, message=f"{state.message} {self._memory_limit}")
        return state


def check_packages() -> None:
    """Raises ModuleNotFoundError unless all is there that the SDK needs: it would be missed later."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ModuleNotFoundError(f"No module named {' and '.join(map(repr, missing))}")


def main() -> NoReturn:
    """Execute the order on standard input. Exit code 0: all is reported."""
    live(_carry_out)


def _carry_out() -> None:
    given: IsolatedOrder = pickle.loads(_taken_from_stdin())  # of our agent, and of this very SDK
    if given.memory_limit:
        threading.stack_size(STACK_BYTES)
    stamps = Stamps(given.forked)
    recorder = IsolatedRecorder(given, stamps)
    backend.use(lambda: _backend(given))
    execute(given.order, recorder, stamps)


def _backend(given: IsolatedOrder) -> Backend:
    """What scripts have, and the agents."""
    made = http_backend(given.api_url, given.api_key)
    return replace(made, errands=HttpErrands(ApiClient(given.api_url, given.api_key), given.order.run))


def _taken_from_stdin() -> bytes:
    """The order. What the flow starts must not find it there again: it holds the token."""
    with open(0, "rb", closefd=False) as order:
        text = order.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return text
