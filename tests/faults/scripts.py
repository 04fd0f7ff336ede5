"""Scripts as Prefect's clients run them: they make their flow runs, and report each state, over the API."""

import threading
from uuid import UUID

from tests.faults.api import Api

PATIENCE = 120.0
STEPS = (("RUNNING", "Running"), ("COMPLETED", "Completed"))


class Scripts:
    """Runs one script after the other, in a thread of its own, from `open` to `close`."""

    def __init__(self, api: Api) -> None:
        self.made: list[UUID] = []
        self.error: BaseException | None = None
        self._api = api
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripts", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let the last script end. Raises what went wrong."""
        self._closed.set()
        self._thread.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            flow_id = self._sent("/api/flows/", {"name": "scripted"})["id"]
            while not self._closed.wait(0.2):
                self._script(flow_id)
        except BaseException as error:  # for the main thread
            self.error = error

    def _script(self, flow_id: str) -> None:
        new = {"flow_id": flow_id, "state": {"type": "PENDING", "name": "Pending"}}
        run_id = self._sent(
            "/api/flow_runs/", {**new, "idempotency_key": f"script-{len(self.made)}-{id(self)}"}
        )["id"]
        self.made.append(UUID(run_id))
        for type, name in STEPS:
            self._sent(f"/api/flow_runs/{run_id}/set_state", {"state": {"type": type, "name": name}})

    def _sent(self, path: str, body: dict[str, object]) -> dict[str, str]:
        answer = self._api.ask("POST", path, body, PATIENCE)
        assert answer.is_success, f"{answer.status_code}: {answer.text}"
        content: dict[str, str] = answer.json()
        return content
