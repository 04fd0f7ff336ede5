"""Tokens of runs: a process that executes one run may do what that run needs, and nothing else.

They are signed, not stored: the agent that starts an isolated process makes one in memory. What a token
says is checked against the run's row: it ends with the attempt it was made for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core import signing
from django.db.models import Q
from django.db.models.functions import Now

from runs.models import FlowRun

MARK = "portal_run_"
SALT = "portal.run"
LIFETIME = timedelta(days=7)
AFTERMATH = timedelta(minutes=1)  # after its end a run's hooks still report, and read what they need

# All that a run's token opens: actions by the base name of their routes. What belongs to runs is limited to
# the token's own (`ScopedQuerySet.for_actor`), all else to the run's workspace.
OPENED: Mapping[str, frozenset[str]] = {
    "api-flow-run": frozenset(
        {
            "report", "retrieve", "resume", "suspend",
            "put_input", "get_input", "filter_inputs", "delete_input",
            "result", "lock_result",
        }
    ),
    "api-result": frozenset({"retrieve", "signing_keys"}),
    "api-variable": frozenset({"by_name", "create", "change_by_name", "destroy_by_name"}),
    "api-block": frozenset({"by_name", "create", "destroy_by_name"}),
    "api-concurrency-limit": frozenset({"acquire", "renew", "release"}),
    "api-event": frozenset({"create"}),
    "api-deployment": frozenset({"retrieve", "by_name", "create_flow_run"}),
    "api-bundle": frozenset({"retrieve"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunToken:
    """What a run's token says, and what its run's row does. `is_live`: the attempt still owns the run."""

    run_id: UUID
    attempt: int
    workspace_id: UUID | None = None
    run_name: str = ""
    is_live: bool = False

    def opens(self, view: Any) -> bool:
        return view.action in OPENED.get(getattr(view, "basename", ""), frozenset())


class RunProcess:
    """The `user` of a request that came with a run's token: nobody who has a role."""

    is_authenticated = is_active = True
    is_superuser = False

    def __init__(self, token: RunToken) -> None:
        self.pk = f"run-{token.run_id}"
        self._name = f"flow run {token.run_name}"

    def get_username(self) -> str:
        return self._name


def make_run_token(run_id: UUID, attempt: int, lifetime: timedelta = LIFETIME) -> str:
    """The text of a token for this attempt of this run. A run that takes longer loses its token."""
    expires = (datetime.now(UTC) + lifetime).timestamp()
    return MARK + signing.dumps([run_id.hex, attempt, expires], salt=SALT)


def read_run_token(text: str) -> RunToken | None:
    """The token with this text; None if it was not made here, was changed, or has expired."""
    try:
        run_id, attempt, expires = signing.loads(text.removeprefix(MARK), salt=SALT)
    except signing.BadSignature:
        return None
    if expires < datetime.now(UTC).timestamp():
        return None
    return _beside_its_run(UUID(run_id), attempt)


def _beside_its_run(run_id: UUID, attempt: int) -> RunToken:
    owns = Q(lease_expires__isnull=False) | Q(end_time__gt=Now() - AFTERMATH)
    mine = FlowRun.objects.filter(id=run_id, attempt=attempt).filter(owns)
    found = mine.values_list("workspace_id", "name").first()
    if found is None:
        return RunToken(run_id, attempt)
    workspace_id, name = found
    return RunToken(run_id, attempt, workspace_id, name, is_live=True)
