"""`backfill`: make many runs of a deployment from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flows.sdk import portal
from flows.sdk.ids import uuid7
from flows.sdk.parameters import as_json
from flows.sdk.steps import Steps, drive_async


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill as it was made: `total` runs are wanted, at most `concurrency` of them at a time.

    One of more than 10,000 runs is in state PLANNING: its total grows until it is planned.
    """

    id: UUID
    deployment_id: UUID
    state: str
    total: int
    concurrency: int


def backfill(name: UUID | str, **options: Any) -> Any:
    """Make a backfill and return it (a Backfill), without waiting for its runs.

    Options as in `abackfill`. Where an event loop runs, this is to be awaited.
    """
    return portal.here_or_awaited(_steps(name, **options))


async def abackfill(name: UUID | str, **options: Any) -> Backfill:
    """As `backfill`, always to be awaited.

    name: "FLOW/DEPLOYMENT", or the deployment's id.
    start, end: run each slot from start to end, both included; a date means the whole day.
    cron, interval (seconds), timezone: the slots' rule; default: the deployment's only schedule.
    grid: lists of values by parameter; each combination is a run, for each slot if there are slots.
    parameters: what all runs have in common.
    slot_parameter: the parameter that gets the slot; default: the flow's only date or time; "": none.
    which: "all", "missing" (never completed) or "failed".
    concurrency: how many runs may be under way at once; default: 5.
    newest_first, priority, tags: of the runs.

    Raises PortalApiError if there is no such deployment or the backfill cannot be, NoPortalError.
    """
    return await drive_async(_steps(name, **options))


def _steps(
    name: UUID | str,
    *,
    start: date | None = None,
    end: date | None = None,
    cron: str | None = None,
    interval: float | None = None,
    timezone: str | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    slot_parameter: str | None = None,
    which: str = "all",
    concurrency: int | None = None,
    newest_first: bool = False,
    priority: int | None = None,
    tags: Sequence[str] = (),
) -> Steps[Backfill]:
    server = portal.needed("backfill")
    path = f"deployments/{name}"
    if isinstance(name, str) and "/" in name:
        flow, _, deployment = name.partition("/")
        path = f"deployments/name/{quote(flow, safe='')}/{quote(deployment, safe='')}"
    found = yield from portal.ask(lambda: server.get(path))
    body = {
        "id": str(uuid7()),  # what is sent again after a lost answer makes no second one
        "deployment_id": str(found["id"]),
        "start": start.isoformat() if start else None,
        "end": end.isoformat() if end else None,
        "cron": cron,
        "interval": interval,
        "timezone": timezone,
        "grid": as_json({key: list(values) for key, values in (grid or {}).items()}),
        "parameters": as_json(dict(parameters or {})),
        "slot_parameter": slot_parameter,
        "which": which,
        "concurrency": concurrency,
        "newest_first": newest_first,
        "priority": priority,
        "tags": list(tags),
    }
    made = yield from portal.ask(lambda: server.post("backfills/", body))
    return Backfill(
        id=UUID(str(made["id"])),
        deployment_id=UUID(str(made["deployment_id"])),
        state=made["state"],
        total=made["total"],
        concurrency=made["concurrency"],
    )
