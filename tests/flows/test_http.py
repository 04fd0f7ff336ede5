"""The HTTP recorder before a server of a few lines: what it sends, repeats and refuses."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest

from flows import flow, task
from flows.sdk.batching import BatchQueue
from flows.sdk.client import ApiClient, NoAnswer, PortalApiError
from flows.sdk.context import recording
from flows.sdk.http import HttpRecorder
from flows.sdk.ids import uuid7
from flows.sdk.recorder import Aborted, LogLine, NewArtifact, NewFlowRun
from flows.sdk.states import Completed, Running
from flows.sdk.wire import encoded, encoded_line
from tests.processes import PATIENCE

Answer = tuple[int, dict[str, Any]]


class FakeApi:
    """Accepts everything, and keeps it. `answers` go first; `bodies` are the reports."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.answers: list[Answer] = []

    def answer(self, path: str, body: bytes) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        report = json.loads(body)
        if path == "/api/flow_runs/":
            self.created.append(report)
            return 201, {"id": report["id"]}
        self.bodies.append(report)
        self.sizes.append(len(body))
        verdict = {"status": "ACCEPT", "state": None, "reason": "", "delay_seconds": 0}
        return 200, {"verdict": verdict if "proposal" in report else None, "cancelling": False}

    def all(self, name: str) -> list[Any]:
        return [item for body in self.bodies for item in body.get(name, [])]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def url(api: FakeApi) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = api.answer(self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/api"
    server.shutdown()
    server.server_close()


@pytest.fixture
def recorder(url: str) -> Iterator[HttpRecorder]:
    made = HttpRecorder(ApiClient(url, "key"))
    yield made
    made.close()


def begin(recorder: HttpRecorder) -> UUID:
    return recorder.begin(NewFlowRun(uuid7(), "etl", "brave-otter", {})).id


def line(run_id: UUID, message: str) -> LogLine:
    return LogLine(run_id, None, datetime.now(UTC), 20, "flows.flow_runs", message)


def test_a_flow_is_reported(recorder: HttpRecorder, api: FakeApi) -> None:
    @task
    def double(number: int) -> int:
        return number * 2

    @flow
    def etl() -> int:
        return double(2)

    with recording(recorder):
        assert etl() == 4

    assert api.created[0]["flow_name"] == "etl"
    assert api.created[0]["lease_seconds"] == 60
    states = [body["proposal"]["state"]["name"] for body in api.bodies if "proposal" in body]
    assert states == ["Running", "Completed"]
    assert [event["state"]["name"] for event in api.all("events")] == ["Pending", "Running", "Completed"]


def test_the_last_batch_goes_with_the_terminal_state(recorder: HttpRecorder, api: FakeApi) -> None:
    run_id = begin(recorder)
    recorder.log(line(run_id, "last words"))
    recorder.transition(run_id, Completed())

    last = api.bodies[-1]
    assert last["proposal"]["state"]["type"] == "COMPLETED"
    assert api.all("logs")[0]["line"]["message"] == "last words"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_away_is_asked_again(recorder: HttpRecorder, api: FakeApi, status: int) -> None:
    run_id = begin(recorder)
    api.answers = [(status, {"detail": "not now"})]

    assert recorder.transition(run_id, Running()).state is not None
    assert len(api.bodies) == 1


def test_a_refused_report_ends_the_run(recorder: HttpRecorder, api: FakeApi) -> None:
    run_id = begin(recorder)
    api.answers = [(409, {"detail": "attempt 1 no longer owns flow run"})]

    recorder.log(line(run_id, "hello"))
    with pytest.raises(Aborted, match="no longer owns"):
        recorder.flush()
    with pytest.raises(Aborted):
        recorder.log(line(run_id, "again"))
    with pytest.raises(Aborted):
        recorder.close()


def test_a_long_report_is_sent_in_parts(recorder: HttpRecorder, api: FakeApi) -> None:
    run_id = begin(recorder)
    for number in range(6):
        recorder.log(line(run_id, str(number) * 900_000))
    recorder.transition(run_id, Completed())

    assert max(api.sizes) < 5_000_000
    assert [entry["line"]["message"][0] for entry in api.all("logs")] == list("012345")
    assert ["proposal" in body for body in api.bodies][-1]


def test_an_artifact_that_is_too_long_is_refused_where_it_is_made(recorder: HttpRecorder) -> None:
    run_id = begin(recorder)
    table = NewArtifact(uuid7(), run_id, None, "table", "huge", "", ["x" * 9_000_000])

    with pytest.raises(ValueError, match="Artifact 'huge' has 9,000,"):
        recorder.artifact(table)


def test_a_refused_start_is_an_ordinary_error(url: str, api: FakeApi) -> None:
    api.answers = [(401, {"detail": "This token is not valid."})]
    recorder = HttpRecorder(ApiClient(url, "wrong"))

    with pytest.raises(PortalApiError, match=re.escape("PORTAL_API_KEY (401). This token is not valid.")):
        begin(recorder)
    recorder.close()


def test_a_start_without_a_server_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.sdk.http.PATIENCE_SECONDS", 0.2)
    recorder = HttpRecorder(ApiClient("http://127.0.0.1:9/api"))

    with pytest.raises(PortalApiError, match=r"does not answer: .* Start Portal, or unset PORTAL_API_URL"):
        begin(recorder)
    recorder.close()


def test_cancelling_is_told_once(url: str, api: FakeApi) -> None:
    told: list[None] = []
    recorder = HttpRecorder(ApiClient(url), on_cancel=lambda: told.append(None))
    run_id = begin(recorder)
    api.answers = [(200, {"verdict": None, "cancelling": True})] * 2

    for _ in range(2):
        recorder.log(line(run_id, "x"))
        recorder.flush()
    recorder.close()

    assert len(told) == 1


def test_what_is_said_after_the_end_is_not_insisted_on(recorder: HttpRecorder, api: FakeApi) -> None:
    run_id = begin(recorder)
    recorder.transition(run_id, Completed())
    recorder.log(line(run_id, "by a hook"))
    recorder.flush()
    assert api.all("logs")[0]["line"]["message"] == "by a hook"

    api.answers = [(409, {"detail": "too late"})]
    recorder.log(line(run_id, "by a thread that was left behind"))
    recorder.close()


def test_nothing_begins_after_the_end(url: str) -> None:
    recorder = HttpRecorder(ApiClient(url))
    run_id = begin(recorder)
    recorder.transition(run_id, Completed())

    with pytest.raises(Aborted, match="is over"):
        begin(recorder)
    with pytest.raises(Aborted, match="is over"):
        recorder.close()


def test_without_a_server_there_is_no_answer() -> None:
    client = ApiClient("http://127.0.0.1:9/api")

    with pytest.raises(NoAnswer, match="refused"):
        client.get("health")


@pytest.mark.parametrize("url", ["localhost:4200", "ftp://localhost/api", ""])
def test_an_address_that_cannot_be_one_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="PORTAL_API_URL must be http://HOST:PORT/api"):
        ApiClient(url)


@pytest.mark.parametrize(
    ("text", "sent"),
    [("nul \x00", "nul \ufffd"), (r"\u0000", r"\u0000"), ("\\\x00", "\\\ufffd"), ("\ud800", "?"), ("é", "é")],
)
def test_text_is_sent_as_a_database_can_hold_it(text: str, sent: str) -> None:
    assert json.loads(encoded({text: [text]})) == {sent: [sent]}


def test_an_idle_queue_gives_a_sign_of_life() -> None:
    alive = Event()
    queue: BatchQueue[str] = BatchQueue(lambda items: items == [] and alive.set(), idle_seconds=0.01)

    assert alive.wait(PATIENCE)
    queue.close()


def test_a_full_queue_holds_its_writers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.sdk.batching.MOST_QUEUED", 10)
    go, sent = Event(), []

    def send(items: list[int]) -> None:
        go.wait(PATIENCE)
        sent.extend(items)

    queue: BatchQueue[int] = BatchQueue(send)
    writer = Thread(target=put_all, args=(queue.put, 100))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    go.set()
    writer.join(PATIENCE)
    queue.close()
    assert sent == list(range(100))


def put_all(put: Callable[[int], None], count: int) -> None:
    for number in range(count):
        put(number)


def test_a_log_line_is_written_as_everything_else_is() -> None:
    line = LogLine(uuid7(), uuid7(), datetime.now(UTC), 30, 'a "logger"', 'nul \x00 " \\ \ud800 é')
    fields = {name: getattr(line, name) for name in line.__slots__}
    sent = json.loads(encoded_line(line))
    assert UUID(sent["id"]).version == 7
    assert sent["line"] == json.loads(encoded(fields))
