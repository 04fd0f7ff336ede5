"""Portal's server, and a client that asks again until it is answered."""

import time
from uuid import UUID

import httpx
from django.contrib.auth import get_user_model

from flows.models import Deployment
from portal.access.tokens import create_token
from tests.factories import default_workspace
from tests.faults.conftest import Stage
from tests.processes import Child, answers, free_port, wait_until

PATIENCE = 30.0


class Api:
    """A server of `stage` that may be killed and started again, at one address."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._port = free_port()
        user = get_user_model().objects.create_superuser("root")
        _, token = create_token(user, default_workspace(), "faults")
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        self.server = self.start()

    def launch(self) -> Child:
        self.server = self._stage.stack.start("serve", "--port", str(self._port))
        return self.server

    def start(self) -> Child:
        self.launch()
        wait_until(lambda: answers(self._port), what="the server listens")
        return self.server

    def create_run(self, deployment: Deployment, key: str, **parameters: object) -> UUID:
        """Create a run with an idempotency key, again and again while the answer is none or "try again"."""
        body = {"parameters": parameters, "idempotency_key": key}
        answer = self.ask("POST", f"/api/deployments/{deployment.id}/create_flow_run", body)
        assert answer.is_success, answer.text
        return UUID(answer.json()["id"])

    def ask(self, method: str, path: str, body: object = None, patience: float = PATIENCE) -> httpx.Response:
        """The answer, asked for again and again while there is none, or "try again"."""
        deadline = time.monotonic() + patience
        last: object = None
        while time.monotonic() < deadline:
            try:
                answer = self.client.request(method, path, json=body)
                if answer.status_code != 503:
                    return answer
                last = answer
            except httpx.TransportError as error:
                last = error
            time.sleep(0.1)
        raise AssertionError(f"no answer to {method} {path} within {patience:g} s: {last!r}")
