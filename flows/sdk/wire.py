"""How reports look as JSON between the HTTP recorder and the API: the fields of `flows.sdk.recorder`.

A state's value stays behind: results do not travel in reports.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from flows.sdk.ids import uuid7
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
    return _in_utf8(_encode(value))


def _in_utf8(text: str) -> bytes:
    body = text.encode("utf-8", "replace")
    return _NUL.sub(rb"\1\\ufffd", body) if rb"\u0000" in body else body


def event_as_json(event: TaskRunEvent) -> Json:
    return {**_fields(event), "state": state_as_json(event.state)}


def encoded_line(line: LogLine) -> bytes:
    """A log line, under an id that makes a line that is sent twice one line.

    As `encoded` would write it, but a flow that logs much spends a third of the time here.
    """
    origin = _origin(line.flow_run_id, line.task_run_id, line.level, line.logger)
    when, message = line.timestamp.isoformat(), encode_basestring(_clipped(line.message))
    text = f'{{"id":"{uuid7().hex}","line":{{{origin},"timestamp":"{when}","message":{message}}}}}'
    return _in_utf8(text)


@lru_cache(64)  # thousands of lines come from a few runs
def _origin(flow_run_id: UUID, task_run_id: UUID | None, level: int, logger: str) -> str:
    """The members of a line that it has in common with many."""
    fields = {"flow_run_id": flow_run_id, "task_run_id": task_run_id, "level": level, "logger": logger}
    return _encode(fields)[1:-1]


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
