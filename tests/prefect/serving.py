"""A running server, and people with tokens for it."""

from dataclasses import dataclass

import pytest
from django.contrib.auth import get_user_model

from flows.models import Membership, Workspace
from portal.access.models import ApiToken
from portal.access.tokens import create_token
from tests.prefect.sockets import ClientSocket
from tests.processes import Child
from tests.standing import StandingServer


@dataclass
class Serving:
    """A server, and a token of an operator of the default workspace."""

    port: int
    child: Child
    token: str

    def socket(self, path: str, token: str | None = None) -> ClientSocket:
        return ClientSocket(self.port, path, token or self.token)


def token_of(role: str, workspace: str = "default") -> str:
    """A token of a new member of a workspace."""
    home = Workspace.objects.get_or_create(name=workspace)[0]
    user = get_user_model().objects.create_user(f"{role}-{workspace}")
    Membership.objects.create(user=user, workspace=home, role=role)
    return create_token(user, home)[1]


@pytest.fixture
def serving(standing: StandingServer) -> Serving:
    """A server that knows nobody but its operator."""
    child = standing.ready()
    standing.empty()
    return Serving(standing.port, child, token_of("operator"))


def revoke_all() -> None:
    """End every token there is."""
    from django.utils.timezone import now

    ApiToken.objects.update(revoked=now())
