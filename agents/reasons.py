"""How a reason for waiting looks, and the words that all reasons share."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

HOLDERS_NAMED = 5
POSITIONS_COUNTED = 1000


class Link(TypedDict):
    """An object; the faces make a URL of it.

    `kind`: flow_run, deployment, schedule, calendar, work_queue, work_pool, concurrency_limit, agent.
    """

    kind: str
    id: str


class Reason(TypedDict):
    """One thing that a run waits for.

    `since` is when it began (None: unknown), `position` the place in the queue (1 is next),
    `fix` what a person can do (empty: nothing is needed), `holders` the runs that are in the way.
    """

    code: str
    text: str
    link: Link | None
    since: datetime | None
    position: int | None
    fix: str
    holders: list[dict[str, str]]


def reason(
    code: str,
    text: str,
    link: Link | None = None,
    *,
    since: datetime | None = None,
    position: int | None = None,
    fix: str = "",
    holders: list[dict[str, str]] | None = None,
) -> Reason:
    return Reason(
        code=code, text=text, link=link, since=since, position=position, fix=fix, holders=holders or []
    )


def link(kind: str, id: UUID) -> Link:
    return {"kind": kind, "id": str(id)}


def moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(span: timedelta) -> str:
    """A span in its largest unit: `3 h`, `20 min`, `5 s`."""
    seconds = max(0, round(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def named(holders: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """The first few runs that are in the way, as a reason lists them. Each has an `id` and a `name`."""
    return [
        {"kind": "flow_run", "id": str(holder["id"]), "name": holder["name"]}
        for holder in list(holders)[:HOLDERS_NAMED]
    ]


def listing(holders: list[dict[str, Any]]) -> str:
    """Their names for a sentence: `a, b and 3 more`."""
    names, more = [holder["name"] for holder in holders[:HOLDERS_NAMED]], len(holders) - HOLDERS_NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def place(position: int) -> str:
    """A place in a queue, for a sentence."""
    if position > POSITIONS_COUNTED:
        return f"beyond number {POSITIONS_COUNTED}"
    return f"number {position}"
