"""Tokens of runs: a process that executes one run may report on that run, and do nothing else.

They are signed, not stored: the agent that starts an isolated process makes one in memory. They open only
the views that name `RunTokenAuthentication`; everywhere else they are unknown texts. What a token
says is checked against the run's row: it ends with the attempt it was made for.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core import signing
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.access.authentication import TokenAuthentication, text_of
from portal.access.permissions import RolePermission

MARK = "portal_run_"
SALT = "portal.run"
LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RunToken:
    """What a run's token says."""

    run_id: UUID
    attempt: int


class RunProcess:
    """The `user` of a request that came with a run's token: nobody who has a name or a role."""

    pk = None
    is_authenticated = is_active = True
    is_superuser = False

    def get_username(self) -> str:
        return "the run's process"


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
    return RunToken(UUID(run_id), attempt)


class RunTokenAuthentication(TokenAuthentication):
    """`Authorization: Bearer <a run's token>`; any other token is an ordinary one."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = get_authorization_header(request)
        if not header or not text_of(header).startswith(MARK):
            return super().authenticate(request)
        token = read_run_token(text_of(header))
        if token is None:
            raise AuthenticationFailed("This run's token is not valid: it has expired, or was changed.")
        return RunProcess(), token


class RunPermission(RolePermission):
    """Lets a run's own process in, beside those whose role allows it. The view checks which run."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.auth, RunToken) or super().has_permission(request, view)
