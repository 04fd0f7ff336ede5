"""The counter of an isolated process: it reaches the errands through the API, with the token of its run.

It looks for answers by the clock, ever less often while there is none.
"""

import threading
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from flows.sdk.client import ApiClient, NoAnswer, PortalApiError
from flows.sdk.errand_counter import MOST_BYTES, Answered, NewErrand, Seen
from flows.sdk.errand_desk import ErrandDesk
from flows.sdk.portal import RemotePortal
from flows.sdk.recorder import FlowRunInfo
from flows.sdk.sealing import Seal, WorkspaceSeal

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class HttpErrands:
    """The agents of a server, as the process of one of its flow runs reaches them."""

    client: ApiClient
    run: FlowRunInfo

    def desk(self, queue: str, local_after: float | None) -> ErrandDesk:
        """As `flows.sdk.agents_runner.Errands`."""
        return ErrandDesk(HttpCounter(self.client.another(), self.run), queue, local_after)


class HttpCounter:
    """As `flows.sdk.errand_counter.Counter`."""

    away: type[Exception] = NoAnswer
    seal: Seal

    def __init__(self, client: ApiClient, run: FlowRunInfo) -> None:
        """`client` is the counter's own."""
        self.server = client.url
        self.seal = WorkspaceSeal(RemotePortal(client.another()))
        self._portal = RemotePortal(client)
        self._path = f"flow_runs/{run.id}/errands"
        self._queue_id = ""
        self._woken = threading.Event()
        self._pause = FIRST_PAUSE
        self._is_waiting = False

    def open(self, queue: str) -> None:
        try:
            self._queue_id = self._post("queue", {"name": queue})["work_queue_id"]
        except PortalApiError as error:
            if error.status != 422:
                raise
            raise ValueError(str(error)) from error

    def exchange(
        self, new: Sequence[NewErrand], done: Sequence[UUID], waiting: Collection[UUID]
    ) -> list[Answered]:
        self._is_waiting = bool(waiting)
        if not (new or done or waiting):
            return []
        found: list[Answered] = []
        for part in _parts(new) or [[]]:
            body = {
                "work_queue_id": self._queue_id,
                "new": [_as_json(errand) for errand in part],
                "done": [str(id) for id in done],
                "waiting": [str(id) for id in waiting],
            }
            found += map(_answered, self._post("exchange", body)["answered"])
        if new or found:
            self._pause = FIRST_PAUSE
        return found

    def look(self, ids: Sequence[UUID]) -> dict[UUID, Seen]:
        body = {"work_queue_id": self._queue_id, "ids": [str(id) for id in ids]}
        seen = self._post("look", body)["seen"]
        return {UUID(id): Seen(**each) for id, each in seen.items()}

    def take_back(self, id: UUID) -> bool:
        return bool(self._post("take_back", {"id": str(id)})["taken"])

    def remove(self, ids: Sequence[UUID]) -> None:
        self.exchange((), ids, ())

    def wait(self, seconds: float) -> None:
        self._woken.wait(min(seconds, self._pause) if self._is_waiting else seconds)
        self._woken.clear()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def wake(self) -> None:
        self._woken.set()

    def reset(self) -> None:
        self._portal.close()

    def close(self) -> None:
        self._portal.close()

    def _post(self, what: str, body: Mapping[str, Any]) -> Any:
        return self._portal.post(f"{self._path}/{what}", body)


def _parts(new: Sequence[NewErrand]) -> list[list[NewErrand]]:
    """In requests that are not too large: each holds 16 MiB of calls at most."""
    parts: list[list[NewErrand]] = []
    size = 0
    for errand in new:
        size += len(errand.payload)
        if not parts or size > MOST_BYTES:
            parts.append([])
            size = len(errand.payload)
        parts[-1].append(errand)
    return parts


def _as_json(errand: NewErrand) -> dict[str, Any]:
    sent = asdict(errand) | {"id": str(errand.id), "payload": b64encode(errand.payload).decode()}
    return sent | {"task_run_id": None if errand.task_run_id is None else str(errand.task_run_id)}


def _answered(row: Mapping[str, Any]) -> Answered:
    answer = None if row["answer"] is None else b64decode(row["answer"])
    return Answered(UUID(row["id"]), answer, row["lost"])
