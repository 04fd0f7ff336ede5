"""The recorder of scripts and of isolated processes: reports runs to Portal's API.

Everything it sends may be sent twice, so it repeats whatever got no answer: a server may restart
while a flow runs. Task states, logs, artifacts and results leave in batches, as in an agent.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from flows.sdk.batching import BatchQueue, persistently
from flows.sdk.client import ApiClient, NoAnswer, PortalApiError
from flows.sdk.http_results import HttpResults
from flows.sdk.recorder import (
    Aborted,
    FlowRunInfo,
    LogLine,
    NewArtifact,
    NewFlowRun,
    Status,
    TaskRunEvent,
    Verdict,
)
from flows.sdk.states import Cancelled, State, StateType
from flows.sdk.wire import (
    artifact_as_json,
    encoded,
    encoded_line,
    event_as_json,
    new_run_as_json,
    state_as_json,
    verdict_from,
)

LEASE_SECONDS = 60.0  # a script that is silent for longer has crashed
HEARTBEAT_SECONDS = 5.0
PATIENCE_SECONDS = 20.0  # for a server that is away when the script starts
MOST_REPORT_BYTES = 4_000_000  # a longer report is sent in parts
MOST_ARTIFACT_BYTES = 8_000_000

Item = tuple[str, bytes]  # list in the report, JSON


class HttpRecorder:
    """Reports one root run and its subflows through `client`.

    Without `run_id` the first `begin` creates the root run, and this process owns it: it renews the
    run's lease, and the run crashes when nothing was heard for 60 s. With `run_id` and `attempt` it
    reports for an agent that claimed the run and keeps its lease. `on_cancel` is called once, from any
    thread, when somebody cancels the run, `on_abort` when this attempt has lost its run.
    `shares_results`: the run is made after another, whose results it may take.
    """

    def __init__(
        self,
        client: ApiClient,
        run_id: UUID | None = None,
        attempt: int = 0,
        on_cancel: Callable[[], None] = lambda: None,
        on_abort: Callable[[], None] = lambda: None,
        shares_results: bool = False,
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self._client = client
        self._on_cancel = on_cancel
        self._owner = run_id is None
        # Nobody takes up the run of a script.
        self.results = HttpResults(self, durable=not self._owner, shares=shares_results)
        self._cancelling = False
        self._over = False
        self._queue: BatchQueue[Item] = BatchQueue(
            self._report,
            on_abort,
            idle_seconds=HEARTBEAT_SECONDS if self._owner else None,
            weigh=lambda item: len(item[1]),
        )

    def task_event(self, event: TaskRunEvent) -> None:
        self._queue.put(("events", encoded(event_as_json(event))))

    def log(self, line: LogLine) -> None:
        self._queue.put(("logs", encoded_line(line)))

    def artifact(self, artifact: NewArtifact) -> None:
        """Raises ValueError for one of more than 8 MB."""
        body = encoded(artifact_as_json(artifact))
        if len(body) > MOST_ARTIFACT_BYTES:
            raise ValueError(f"Artifact {artifact.key!r} has {len(body):,} bytes; the API takes 8,000,000.")
        self._queue.put(("artifacts", body))

    def result(self, body: Mapping[str, Any]) -> None:
        self._queue.put(("results", encoded(body)))

    def begin(self, new: NewFlowRun) -> FlowRunInfo:
        """Create the root run, or a subflow's run.

        Raises PortalApiError if the API refuses the root run, or does not answer within 20 s.
        """
        if self.run_id is None:
            return self._create(new)
        self._queue.send_all(lambda items: self._report(items, begin=new_run_as_json(new)))
        return FlowRunInfo.of(new, root_run_id=self.run_id)

    def transition(self, run_id: UUID, state: State) -> Verdict:
        verdict = self._propose(run_id, state)
        cancelling = verdict.state is not None and verdict.state.type is StateType.CANCELLING
        if self._owner and run_id == self.run_id and state.is_terminal() and cancelling:
            # No agent watches this process: that it ends is for itself to say.
            cancelled = Cancelled(message="The process that ran it ended after the cancellation.")
            self._propose(run_id, cancelled)
            verdict = Verdict(Status.REJECT, cancelled, verdict.reason)
        if verdict.status is Status.ABORT:
            self._queue.abort(Aborted(verdict.reason))
        if run_id == self.run_id and verdict.state is not None:
            self._over = verdict.state.is_terminal()
        return verdict

    def unlock(self, hash: str, holder: str) -> None:
        """Report what is queued, and that the lock of a result is free."""
        lock = {"hash": hash, "holder": holder}
        self._queue.send_all(lambda items: self._report(items, unlock=lock))

    def flush(self) -> None:
        self._queue.flush()

    def close(self) -> None:
        try:
            self._queue.close()
        finally:
            self._client.close()

    def _create(self, new: NewFlowRun) -> FlowRunInfo:
        body = {**new_run_as_json(new), "lease_seconds": LEASE_SECONDS}
        try:
            self._post("flow_runs/", encoded(body), PATIENCE_SECONDS)
        except NoAnswer as error:
            text = f"{self._client.url} does not answer: {error}. Start Portal, or unset PORTAL_API_URL."
            raise PortalApiError(503, text) from error
        self.attempt, self.run_id = 1, new.id
        return FlowRunInfo.of(new, attempt=1)

    def _propose(self, run_id: UUID, state: State) -> Verdict:
        proposal = {"run_id": run_id, "state": state_as_json(state)}
        answer = self._queue.send_all(lambda items: self._report(items, proposal=proposal))
        return verdict_from(answer["verdict"], state)

    def _report(self, items: list[Item], **also: Any) -> Any:
        """Send the items and, with the last of them, `also`. Raises Aborted if the API refuses."""
        if self.run_id is None:
            return None  # not begun yet: nothing to give a sign of life for
        if self._over and also:
            raise Aborted(f"flow run {self.run_id} is over")
        if self._over:
            return self._send_afterthoughts(items)
        *parts, last = _parts(items)
        for part in parts:
            self._send(part)
        return self._send(last, **also)

    def _send_afterthoughts(self, items: list[Item]) -> None:
        """What hooks log, and threads that outlive their flow. If it comes too late, nobody misses it."""
        for part in _parts([item for item in items if item[0] != "events"]):
            with suppress(Aborted):
                if part:
                    self._send(part)

    def _send(self, lists: dict[str, list[bytes]], **also: Any) -> Any:
        lease = LEASE_SECONDS if self._owner else None
        fields = {"attempt": self.attempt, "lease_seconds": lease, **also}
        members = [b"%s:%s" % (encoded(name), encoded(value)) for name, value in fields.items()]
        members += [b"%s:[%s]" % (encoded(name), b",".join(each)) for name, each in lists.items()]
        try:
            answer = self._post(f"flow_runs/{self.run_id}/report", b"{%s}" % b",".join(members))
        except PortalApiError as error:
            raise Aborted(str(error)) from error
        if answer["cancelling"] and not self._cancelling:
            self._cancelling = True
            self._on_cancel()
        return answer

    def get(self, path: str) -> Any:
        """Ask the API persistently, as `post` does. Raises PortalApiError, and Aborted if our key or token is
        not accepted any more: another attempt may own the run."""
        return self._asked(lambda: self._client.get(path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._asked(lambda: self._client.post(path, encoded(body)))

    def _asked(self, call: Callable[[], Any]) -> Any:
        try:
            return persistently(call, NoAnswer, self._client.url)
        except PortalApiError as error:
            if error.status == 401:
                raise Aborted(str(error)) from error
            raise

    def _post(self, path: str, body: bytes, patience: float | None = None) -> Any:
        return persistently(lambda: self._client.post(path, body), NoAnswer, self._client.url, patience)


def _parts(items: list[Item]) -> list[dict[str, list[bytes]]]:
    """The items by list, in parts that one report can hold; at least one part."""
    parts: list[dict[str, list[bytes]]] = [{}]
    size = 0
    for name, body in items:
        if size and size + len(body) > MOST_REPORT_BYTES:
            parts.append({})
            size = 0
        parts[-1].setdefault(name, []).append(body)
        size += len(body)
    return parts
