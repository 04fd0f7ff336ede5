"""A running server, and people with tokens for it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth import get_user_model
from pytest_django.plugin import DjangoDbBlocker

from flows.models import Membership, Workspace
from portal.access.models import ApiToken
from portal.access.tokens import create_token
from tests import databases
from tests.conftest import fresh_stack
from tests.prefect.sockets import ClientSocket
from tests.processes import Child, RunningStack, answers, free_port, wait_until


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


class Server:
    """`manage.py serve` for all tests of a module: to start one takes longer than most of them."""

    def __init__(self, stack: RunningStack) -> None:
        self.port = free_port()
        self._stack = stack
        self._child: Child | None = None

    def ready(self) -> Child:
        """The server; another one if a test has ended it."""
        if self._child is None or not self._child.is_alive:
            self._child = self._stack.start("serve", "--port", str(self.port))
            wait_until(lambda: answers(self.port), what="the server answers")
        return self._child


@pytest.fixture(scope="module")
def server(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with fresh_stack(django_db_blocker, tmp_path_factory.mktemp("serving")) as stack:
        yield Server(stack)


@pytest.fixture
def serving(server: Server) -> Serving:
    """A server that knows nobody but its operator.

    The default workspace is a new one, too: what the server still does for the last test concerns another.
    """
    child = server.ready()
    wait_until(databases.others_are_idle)
    databases.empty()
    Workspace.objects.create(name="default")
    return Serving(server.port, child, token_of("operator"))


def revoke_all() -> None:
    """End every token there is."""
    from django.utils.timezone import now

    ApiToken.objects.update(revoked=now())
