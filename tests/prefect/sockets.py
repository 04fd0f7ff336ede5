"""The raw ends of Prefect's sockets, and what a client says on them."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from flows.sdk.ids import uuid7
from runs.models import FlowRun
from tests.processes import PATIENCE


class ClientSocket:
    """A socket that says who it is, as Prefect's clients do."""

    def __init__(
        self, port: int, path: str, token: str | None, headers: dict[str, str] | None = None
    ) -> None:
        self._closing = ExitStack()
        opening = connect(
            f"ws://127.0.0.1:{port}/api/{path}",
            subprotocols=[Subprotocol("prefect")],
            additional_headers=headers,
            open_timeout=PATIENCE,
        )
        self.raw: ClientConnection = self._closing.enter_context(opening)
        assert self.raw.ping().wait(PATIENCE)
        self.say({"type": "auth", "token": token})

    def __enter__(self) -> Self:
        assert self.hear() == {"type": "auth_success"}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def say(self, frame: Any) -> None:
        """Send a frame; text is sent as it is."""
        self.raw.send(frame if isinstance(frame, str) else json.dumps(frame, default=str))

    def hear(self, patience: float = PATIENCE) -> Any:
        """The next frame."""
        return json.loads(self.raw.recv(patience))

    def settle(self) -> None:
        """Wait until the server has stored all that was sent: its pong says so."""
        assert self.raw.ping().wait(PATIENCE), "no pong"

    def closed(self) -> tuple[int, str]:
        """Code and reason with which the server closes the socket."""
        try:
            while True:
                self.raw.recv(PATIENCE)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, closed.rcvd.reason


def task_event(
    run: FlowRun | None,
    state: str = "Running",
    *,
    type: str | None = None,
    task_run_id: UUID | None = None,
    key: str = "add-01aebb61",
    dynamic_key: str = "0",
    seconds: float = 0,
    **task_run: Any,
) -> dict[str, Any]:
    """An event of a task run, as Prefect's engine makes them; `seconds` after the start of the day."""
    occurred = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(
        seconds=seconds
    )
    type = type or state.upper()
    related = [{"prefect.resource.id": "prefect.tag.t1", "prefect.resource.role": "tag"}]
    if run is not None:
        related.append(
            {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.role": "flow-run"}
        )
    return {
        "id": str(uuid7()),
        "occurred": occurred.isoformat(),
        "event": f"prefect.task-run.{state}",
        "resource": {
            "prefect.resource.id": f"prefect.task-run.{task_run_id or uuid4()}",
            "prefect.state-name": state,
            "prefect.state-type": type,
            "prefect.orchestration": "client",
        },
        "related": related,
        "payload": {
            "intended": {"from": None, "to": type},
            "initial_state": None,
            "validated_state": {
                "type": type,
                "name": state,
                "message": "",
                "state_details": {},
                "data": None,
            },
            "task_run": {
                "name": f"add-{dynamic_key}",
                "task_key": key,
                "dynamic_key": dynamic_key,
                "tags": ["t1"],
                "task_inputs": {},
                "run_count": 1,
                **task_run,
            },
        },
        "follows": None,
    }


def event(name: str = "order.paid", resource: str = "order.1", **fields: Any) -> dict[str, Any]:
    """An event of a flow's own."""
    return {
        "id": str(uuid7()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": name,
        "resource": {"prefect.resource.id": resource},
        "related": [],
        "payload": {},
        **fields,
    }
