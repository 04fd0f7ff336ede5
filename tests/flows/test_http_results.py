"""Results over HTTP before a writer of a few lines: what is asked, sent, and kept here instead."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from flows.sdk.client import PortalApiError
from flows.sdk.http_results import HttpResults
from flows.sdk.ids import uuid7
from flows.sdk.results import key_hash, process_results
from flows.sdk.signing import Signer

KEYS = Signer(["a secret"], "workspace").as_answer()


class FakeWriter:
    """Answers with what is `stored` by path."""

    def __init__(self, attempt: int = 1) -> None:
        self.run_id: UUID | None = uuid7()
        self.attempt = attempt
        self.stored: dict[str, Any] = {"results/signing_keys": KEYS}
        self.asked: list[str] = []
        self.sent: list[Mapping[str, Any]] = []
        self.unlocked: list[tuple[str, str]] = []
        self.flushes = 0

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path in self.stored:
            return self.stored[path]
        raise PortalApiError(404, "There is no result of this key.")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.asked.append(path)
        return {"held": True}

    def result(self, body: Mapping[str, Any]) -> None:
        self.sent.append(body)

    def flush(self) -> None:
        self.flushes += 1

    def unlock(self, hash: str, holder: str) -> None:
        self.unlocked.append((hash, holder))


@pytest.fixture
def writer() -> FakeWriter:
    return FakeWriter()


@pytest.fixture
def results(writer: FakeWriter) -> HttpResults:
    return HttpResults(writer, durable=True)


def test_what_is_put_is_queued_and_found_before_it_is_sent(results: HttpResults, writer: FakeWriter) -> None:
    results.put("key", b"signed", None, of_run=False)

    assert results.get("key", of_run=False) == b"signed"
    assert results.get("key", of_run=True) is None
    [sent] = writer.sent
    assert (sent["hash"], b64decode(sent["data"]), sent["of_run"]) == (key_hash("key"), b"signed", False)


def test_shared_results_are_asked_for_by_the_hash_of_their_key(
    results: HttpResults, writer: FakeWriter
) -> None:
    writer.stored[f"results/{key_hash('key')}"] = {"data": b64encode(b"signed").decode()}

    assert results.get("key", of_run=False) == b"signed"
    assert results.get("other", of_run=False) is None


def test_a_first_attempt_does_not_ask_for_what_earlier_ones_kept(
    results: HttpResults, writer: FakeWriter
) -> None:
    assert results.get("key", of_run=True) is None
    assert writer.asked == ["results/signing_keys"]

    second = FakeWriter(attempt=2)
    assert HttpResults(second, durable=True).get("key", of_run=True) is None
    assert second.asked[-1] == f"flow_runs/{second.run_id}/results/{key_hash('key')}"


def test_the_workspaces_key_signs(results: HttpResults) -> None:
    signed = Signer(["a secret"], "workspace").sign("key", b"content")

    assert results.signer.verified("key", signed) == b"content"
    assert Signer(["a secret"], "another").verified("key", signed) is None


def test_a_result_that_is_too_large_is_refused_in_words(results: HttpResults) -> None:
    with pytest.raises(OSError, match="8,000,001 bytes, and the API takes 8,000,000; see result_storage"):
        results.put("key", b"x" * 8_000_001, None, of_run=False)


def test_no_more_than_16_mb_wait(results: HttpResults, writer: FakeWriter) -> None:
    for number in range(3):
        results.put(f"key {number}", b"x" * 6_000_000, None, of_run=False)

    assert writer.flushes == 1
    assert results.get("key 0", of_run=False) is None  # asked of the server, which has it now
    assert writer.asked[-1] == f"results/{key_hash('key 0')}"


@pytest.mark.parametrize("status", [403, 404])
def test_who_gets_no_signing_key_keeps_results_in_the_process(
    status: int, results: HttpResults, writer: FakeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> Any:
        raise PortalApiError(status, "You need the role 'editor'.")

    monkeypatch.setattr(writer, "get", refuse)
    key = f"key {uuid7()}"

    results.put(key, b"signed", None, of_run=False)

    assert results.get(key, of_run=False) == process_results.get(key, of_run=False) == b"signed"
    assert results.locks.acquire_lock(key, "me", acquire_timeout=0)
    assert not results.locks.acquire_lock(key, "you", acquire_timeout=0)
    results.locks.release_lock(key, "me")
    assert writer.sent == writer.unlocked == []


def test_a_lock_is_let_go_with_what_was_put(results: HttpResults, writer: FakeWriter) -> None:
    assert results.locks.acquire_lock("key", "me")
    results.locks.release_lock("key", "me")

    assert writer.asked[-1] == f"flow_runs/{writer.run_id}/lock_result"
    assert writer.unlocked == [(key_hash("key"), "me")]
