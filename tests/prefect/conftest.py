"""A real Portal server, and the Prefect client that talks to it."""

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model

from flows.models import Workspace
from portal.access.tokens import create_token
from tests.portal.fixtures import (  # noqa: F401
    deployment,
    editor,
    elsewhere,
    foreigner,
    new_run,
    operator,
    viewer,
    workspace,
)
from tests.prefect.client import PrefectClient, prefect_python
from tests.prefect.deploying import flow_id, pool  # noqa: F401
from tests.processes import RunningStack, free_port


@pytest.fixture
def prefect_client(stack: RunningStack) -> Iterator[PrefectClient]:
    """Prefect's client, beside a running server; its token is that of a superuser."""
    python = prefect_python()
    if python is None:
        pytest.skip("Prefect's client is not there: run `make prefect-client`")
    admin = get_user_model().objects.create_superuser("admin")
    token = create_token(admin, Workspace.objects.get(name="default"))[1]
    port = free_port()
    stack.start("serve", "--port", str(port)).wait_for("Serving on")
    yield PrefectClient(stack, python, f"http://127.0.0.1:{port}/api", token)
