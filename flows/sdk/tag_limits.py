"""Limits by tag: a task run with the tag "db" takes a slot of the concurrency limit "tag:db".

Most tags are labels without a limit. That a tag has none is remembered for a while, so that a thousand task
runs of one tag ask once; runs in memory ask nobody.
"""

from collections.abc import Iterable
from time import monotonic

from flows.sdk import portal
from flows.sdk.concurrency import Wanted, taken
from flows.sdk.leases import Lease
from flows.sdk.memory import MemoryRecorder
from flows.sdk.states import AwaitingConcurrencySlot
from flows.sdk.steps import Steps
from flows.sdk.task_run import TaskRun

LEASE_SECONDS = 60.0
REMEMBERED_SECONDS = 10.0  # how long a new limit may stay unnoticed
MOST_REMEMBERED = 10_000


class _Unlimited:
    """Names that had no limit when a server was last asked."""

    def __init__(self) -> None:
        self._server: portal.Portal | None = None
        self._until: dict[str, float] = {}

    def without(self, server: portal.Portal, names: list[str]) -> list[str]:
        """Those of the names that may have a limit."""
        if server is not self._server or len(self._until) > MOST_REMEMBERED:
            self._server, self._until = server, {}
        now = monotonic()
        return [name for name in names if self._until.get(name, 0.0) < now]

    def remember(self, names: Iterable[str]) -> None:
        until = monotonic() + REMEMBERED_SECONDS
        self._until.update(dict.fromkeys(names, until))


_unlimited = _Unlimited()


def slots_of(run: TaskRun) -> Steps[Lease | None]:
    """Take a slot for each tag of the run that has a limit; the run awaits them. None: no tag has one."""
    if not run.tags or run.flow is None or isinstance(run.flow.recorder, MemoryRecorder):
        return None
    server = portal.reached()
    names = _unlimited.without(server, [f"tag:{tag}" for tag in run.tags]) if server else []
    if not names:
        return None
    wanted = Wanted(names, 1, None, False, LEASE_SECONDS)
    lease = yield from taken(wanted, on_wait=lambda: run.enter(AwaitingConcurrencySlot()))
    _unlimited.remember(wanted.missing)
    return lease
