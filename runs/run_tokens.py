"""Tokens of runs: a process that executes one run may do what that run needs, and nothing else.

They are signed, not stored: the agent that starts an isolated process makes one in memory. What a token
says is checked against the run's row: it ends with the attempt it was made for. What it opens is for the
API to say.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.core import signing
from django.db.models import Q
from django.db.models.functions import Now

from runs.models import FlowRun

MARK = "portal_run_"
SALT = "portal.run"
LIFETIME = timedelta(days=7)
AFTERMATH = timedelta(minutes=1)  # after its end a run's hooks still report, and read what they need


@dataclass(frozen=True, slots=True)
class RunToken:
    """What a run's token says, and what its run's row does. `is_live`: the attempt still owns the run."""

    run_id: UUID
    attempt: int
    workspace_id: UUID | None = None
    run_name: str = ""
    is_live: bool = False


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
