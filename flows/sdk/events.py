"""`emit_event`: say that something happened."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flows.sdk import portal
from flows.sdk.context import current_flow, current_task
from flows.sdk.ids import uuid7
from flows.sdk.parameters import as_json
from flows.sdk.steps import drive

logger = logging.getLogger("flows.events")

RESOURCE_ID = "prefect.resource.id"
RESOURCE_ROLE = "prefect.resource.role"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a resource; see `emit_event`."""

    id: UUID
    occurred: datetime
    event: str
    resource: dict[str, str]
    related: list[dict[str, str]]
    payload: dict[str, Any]
    follows: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        """The event as the API takes it."""
        return {
            "id": str(self.id),
            "occurred": self.occurred.isoformat(),
            "event": self.event,
            "resource": self.resource,
            "related": self.related,
            "payload": self.payload,
            "follows": str(self.follows) if self.follows else None,
        }


def emit_event(
    event: str,
    resource: Mapping[str, str],
    occurred: datetime | None = None,
    related: Sequence[Mapping[str, str]] | None = None,
    payload: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    follows: Event | None = None,
) -> Event:
    """Say that `event` (such as "order.paid") happened to `resource`, and return it.

    resource: labels; "prefect.resource.id" is required. occurred: when (aware); default: now.
    related: labels of other resources, with "prefect.resource.role" each. Inside a run the run is related,
    too. payload: JSON. id: an event of an id that is known already is not stored again. follows: what
    happened before.

    Without a Portal, nobody hears it. One that is away or refuses does not end the flow: a warning is
    logged. Raises ValueError for a resource without id.
    """
    if not resource.get(RESOURCE_ID):
        raise ValueError(f"resource needs the label {RESOURCE_ID!r}, and has {sorted(resource)}.")
    if occurred is not None and occurred.tzinfo is None:
        raise ValueError("occurred needs a time zone, such as datetime.now(UTC).")
    made = Event(
        id=id or uuid7(),
        occurred=(occurred or datetime.now(UTC)).astimezone(UTC),
        event=event,
        resource=dict(resource),
        related=[*map(dict, related or ()), *_surrounding_runs()],
        payload=as_json(dict(payload or {})),
        follows=follows.id if follows else None,
    )
    _send(made)
    return made


def _surrounding_runs() -> list[dict[str, str]]:
    flow, task = current_flow.get(), current_task.get()
    found = [("flow-run", str(flow.run.id), flow.run.name)] if flow else []
    if task:
        found.append(("task-run", str(task.id), task.name))
    return [
        {RESOURCE_ID: f"prefect.{role}.{id}", "prefect.resource.name": name, RESOURCE_ROLE: role}
        for role, id, name in found
    ]


def _send(event: Event) -> None:
    from flows.sdk.client import NoAnswer, PortalApiError

    server = portal.reached()
    if server is None:
        return
    body = {"events": [event.as_json()]}
    try:
        drive(portal.ask(lambda: server.post("events/", body)))
    except (NoAnswer, PortalApiError) as error:
        logger.warning("The event %s could not be sent: %s", event.event, error)
