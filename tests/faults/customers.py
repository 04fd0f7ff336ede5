"""A client of the API that orders runs, and cancels some, while everything breaks. Knows no database."""

import random
import threading
from uuid import UUID

import httpx

from tests.faults.api import Api

AT_ONCE = 16
PATIENCE = 120.0
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Customer:
    """Keeps a number of runs under way, in a thread of its own, from `open` to `close`."""

    def __init__(self, api: Api, deployments: list[UUID], folder: str, dice: random.Random) -> None:
        self.ordered: list[UUID] = []
        self.cancelled: set[UUID] = set()
        self.error: BaseException | None = None
        self._open: set[UUID] = set()
        self._api = api
        self._deployments = deployments
        self._folder = folder
        self._dice = dice
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="customer", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop ordering. Raises what went wrong."""
        self._closed.set()
        self._thread.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._closed.wait(0.05):
                self._step()
        except BaseException as error:  # for the main thread
            self.error = error

    def _step(self) -> None:
        if len(self._open) < AT_ONCE:
            self._order()
        elif self._dice.random() < 0.1:
            self._cancel(self._dice.choice(sorted(self._open)))
        else:
            self._open -= {each for each in sorted(self._open)[:4] if self._is_over(each)}

    def _order(self) -> None:
        deployment = self._dice.choice(self._deployments)
        body = {
            "parameters": {"folder": self._folder},
            "idempotency_key": f"order-{len(self.ordered)}-{self._dice.random()}",
        }
        answer = self._ask("POST", f"/api/deployments/{deployment}/create_flow_run", body)
        assert answer.is_success, f"{answer.status_code}: {answer.text}"
        run_id = UUID(answer.json()["id"])
        self.ordered.append(run_id)
        self._open.add(run_id)

    def _cancel(self, run_id: UUID) -> None:
        self.cancelled.add(run_id)
        force = self._dice.random() < 0.3
        answer = self._ask("POST", f"/api/flow_runs/{run_id}/cancel", {"force": force})
        assert answer.is_success or answer.status_code == 409, f"{answer.status_code}: {answer.text}"

    def _is_over(self, run_id: UUID) -> bool:
        answer = self._ask("GET", f"/api/flow_runs/{run_id}")
        assert answer.is_success, f"{answer.status_code}: {answer.text}"
        state_type = answer.json()["state_type"]
        if state_type == "PAUSED":
            self.resume(run_id)
        return state_type in TERMINAL

    def resume(self, run_id: UUID) -> None:
        """Let a run that pauses go on; one that does not is left as it is."""
        answer = self._ask("POST", f"/api/flow_runs/{run_id}/resume")
        assert answer.is_success, f"{answer.status_code}: {answer.text}"

    def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self._api.ask(method, path, body, PATIENCE)
