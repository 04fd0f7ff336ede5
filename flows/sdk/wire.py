"""How reports look as JSON between the HTTP recorder and the API: the fields of `flows.sdk.recorder`.

A state's value stays behind: results do not travel in reports.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from flows.sdk.recorder import LogLine, NewArtifact, NewFlowRun, Status, TaskRunEvent, Verdict
from flows.sdk.states import State, StateType

Json = dict[str, Any]

MOST_MESSAGE_CHARACTERS = 1_000_000
# NUL, as JSON writes it; the backslashes before it stand in pairs for themselves.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


# `json.dumps` would make an encoder for each of thousands of lines.
_encode = json.JSONEncoder(default=_as_text, ensure_ascii=False, separators=(",", ":")).encode


def encoded(value: Any) -> bytes:
    """Compact JSON in UTF-8, without what no database can hold: NUL and lone surrogates.

    Ids and times become text, and so does whatever else JSON does not know.
    """
    body = _encode(value).encode("utf-8", "replace")
    return _NUL.sub(rb"\1\\ufffd", body) if rb"\u0000" in body else body


def event_as_json(event: TaskRunEvent) -> Json:
    return {**_fields(event), "state": state_as_json(event.state)}


def log_as_json(id: UUID, line: LogLine) -> Json:
    """`id` makes a line that is sent twice one line."""
    return {
        "id": str(id),
        "line": {
            "flow_run_id": _text_of_id(line.flow_run_id),
            "task_run_id": _text_of_id(line.task_run_id),
            "timestamp": line.timestamp.isoformat(),
            "level": line.level,
            "logger": line.logger,
            "message": _clipped(line.message),
        },
    }


@lru_cache(64)  # thousands of lines come from a few runs
def _text_of_id(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def new_run_as_json(new: NewFlowRun) -> Json:
    return _fields(new)


def artifact_as_json(artifact: NewArtifact) -> Json:
    return _fields(artifact)


def state_as_json(state: State) -> Json:
    shown = _fields(replace(state, data=None))
    return {**shown, "type": state.type.value, "message": _clipped(state.message)}


def verdict_as_json(verdict: Verdict) -> Json:
    state = state_as_json(verdict.state) if verdict.state else None
    return {**_fields(verdict), "status": verdict.status.value, "state": state}


def verdict_from(body: Mapping[str, Any], proposed: State) -> Verdict:
    """The server's answer. An accepted state is the proposed one, which still has its value."""
    status, found = Status(body["status"]), body["state"]
    state = proposed if status is Status.ACCEPT else state_from(found) if found else None
    return Verdict(status, state, body["reason"], body["delay_seconds"])


def state_from(body: Mapping[str, Any]) -> State:
    """A state as the API shows it."""
    return State(
        StateType(body["type"]),
        name=body["name"],
        message=body["message"] or "",
        timestamp=datetime.fromisoformat(body["timestamp"]),
        id=UUID(body["id"]),
        details=body.get("details") or {},
    )


def _fields(record: Any) -> Json:
    """The fields of a dataclass with slots; `dataclasses.asdict` would copy every value in them."""
    return {name: getattr(record, name) for name in record.__slots__}


def _clipped(message: str) -> str:
    left_out = len(message) - MOST_MESSAGE_CHARACTERS
    return message if left_out <= 0 else f"{message[:-left_out]}… ({left_out} more characters left out)"
