"""What a pause leaves in the rows of its run, and how a run is resumed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.catalog.parameters import storage_errors, validate
from flows.sdk.states import TERMINAL, Cancelled, State, StateType, is_suspension
from runs.closing import close_open_parts
from runs.inputs import forget_input, read_input
from runs.session import Transaction

if TYPE_CHECKING:
    from runs.rules import Current

PAUSE = """
SELECT r.state_type, r.state_name, s.state_details
FROM runs_flowrun r LEFT JOIN runs_flowrunstate s ON s.id = r.state_id
WHERE r.id = %s
"""


def is_hand_back(state: State) -> bool:
    """Whether an agent that stops gives the run to the next one."""
    return state.is_scheduled() and bool(state.details.get("handed_back"))


def continues(run: "Current") -> bool:
    """Whether RUNNING would go on with a try that was under way: it is not counted again."""
    return run.resuming or run.state_type is StateType.PAUSED


def pause_columns(run: "Current", state: State) -> tuple[list[str], datetime | None, bool]:
    """`pause_keys`, `pause_expires` and `resuming` of a run that enters `state`."""
    anew = run.state_type in TERMINAL or state.name == "AwaitingRetry"
    keys = [] if anew else list(run.pause_keys)
    goes_on = state.name == "Resuming" or (is_hand_back(state) and run.state_type is StateType.RUNNING)
    resuming = goes_on or (run.resuming and not state.is_running() and not anew)
    if state.type is not StateType.PAUSED:
        return keys, None, resuming
    if key := state.details.get("pause_key"):
        keys.append(str(key))
    until = state.details.get("pause_timeout")
    return keys, datetime.fromisoformat(until) if until else None, False


def settle_pause(tx: Transaction, run_id: UUID, state: State) -> None:
    """Forget an answer to the same question from before a retry, and end what a suspended process leaves."""
    answer = (state.details.get("run_input_keyset") or {}).get("response")
    if answer:
        forget_input(tx, run_id, answer)
    if is_suspension(state):
        ended = Cancelled(timestamp=state.timestamp)
        close_open_parts(tx, run_id, ended, "Its flow run was suspended, and will call it again.")


@dataclass(frozen=True, slots=True)
class Pause:
    """A paused run: what it asks (None: nothing), and under which keys."""

    state_name: str
    keys: Mapping[str, str]
    schema: Mapping[str, Any] | None = None
    description: str = ""

    @property
    def is_suspended(self) -> bool:
        return self.state_name == "Suspended"

    def wrong(self, run_input: Mapping[str, Any]) -> list[str]:
        """What is wrong with an answer; empty: nothing."""
        if self.schema is None:
            found = storage_errors("run_input", run_input)
        else:
            found = validate(self.schema, run_input)
        return [f"{each.field}: {each.message}" for each in found]


def pause_of(tx: Transaction, run_id: UUID) -> Pause | None:
    """The pause that the run is in; None if it is not paused."""
    rows = tx.execute(PAUSE, [run_id])
    if not rows or rows[0][0] != StateType.PAUSED.value:
        return None
    keys = json.loads(rows[0][2] or "{}").get("run_input_keyset") or {}
    schema = read_input(tx, run_id, keys["schema"]) if "schema" in keys else None
    told = read_input(tx, run_id, keys["description"]) if "description" in keys else None
    return Pause(rows[0][1], keys, schema.value if schema else None, told.value if told else "")
