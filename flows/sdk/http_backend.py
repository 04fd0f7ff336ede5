"""The backend of scripts and of isolated processes: what their code asks goes to the server's API.

A server that is away is waited for: by code of a flow run for as long as it takes, as its reports are;
by other code for 60 s. What is sent may be sent twice.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from flows.sdk.backend import AlreadyThereError, Backend, SentInput, StoredVariable
from flows.sdk.batching import persistently
from flows.sdk.client import ApiClient, NoAnswer, PortalApiError
from flows.sdk.context import current_flow
from flows.sdk.portal import PATIENCE, RemotePortal
from flows.sdk.recorder import Status, Verdict
from flows.sdk.results import key_hash
from flows.sdk.signing import Signer
from flows.sdk.states import State
from flows.sdk.wire import state_from

Answer = TypeVar("Answer")


class _Server:
    """Asks persistently."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def get(self, path: str) -> Any:
        """The answer; None if there is no such thing."""
        try:
            return self._asked(lambda: self._client.get(path))
        except PortalApiError as error:
            if error.status != 404:
                raise
            return None

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._asked(lambda: self._client.post(path, _encoded(body)))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._asked(lambda: self._client.patch(path, _encoded(body)))

    def delete(self, path: str) -> bool:
        """Whether there was such a thing."""
        try:
            self._asked(lambda: self._client.delete(path))
        except PortalApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        url, patience = self._client.url, None if current_flow.get() else PATIENCE
        try:
            return persistently(call, NoAnswer, url, patience)
        except NoAnswer as error:
            raise PortalApiError(503, f"{url} does not answer: {error}.") from error


class HttpRuns:
    """Runs of the workspace, as `flows.sdk.backend.Runs`."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def state(self, run_id: UUID) -> State | None:
        run = self._server.get(f"flow_runs/{run_id}")
        return state_from(run["state"]) if run else None

    def suspend(self, run_id: UUID, state: State) -> Verdict:
        until = state.details.get("pause_timeout")
        left = None if until is None else (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()
        body = {"timeout": left and max(0.0, left), "pause_key": state.details.get("pause_key")}
        return self._proposed(run_id, "suspend", body)

    def resume(self, run_id: UUID, run_input: Mapping[str, Any] | None) -> Verdict:
        return self._proposed(run_id, "resume", {"run_input": dict(run_input or {})})

    def put_input(self, run_id: UUID, sent: SentInput) -> None:
        body = {"key": sent.key, "value": json.dumps(sent.value), "sender": sent.sender}
        try:
            self._server.post(f"flow_runs/{run_id}/input", body)
        except PortalApiError as error:
            if error.status == 404:
                raise LookupError(f"there is no flow run {run_id}") from error
            raise

    def input(self, run_id: UUID, key: str) -> SentInput | None:
        found = [sent for sent in self.inputs(run_id, key, ()) if sent.key == key]
        return found[0] if found else None

    def inputs(self, run_id: UUID, prefix: str, but: Collection[str]) -> list[SentInput]:
        body = {"prefix": prefix, "exclude_keys": sorted(but)}
        try:
            rows = self._server.post(f"flow_runs/{run_id}/input/filter", body)
        except PortalApiError as error:
            if error.status == 404:
                return []
            raise
        return [SentInput(row["key"], json.loads(row["value"]), row["sender"] or "") for row in rows]

    def result(self, run_id: UUID, key: str) -> bytes | None:
        found = self._server.get(f"flow_runs/{run_id}/results/{key_hash(key)}")
        if found is None:
            return None
        signer = Signer.of_answer(self._server.get("results/signing_keys"))
        return signer.verified(key, b64decode(found["data"]))

    def _proposed(self, run_id: UUID, action: str, body: Mapping[str, Any]) -> Verdict:
        try:
            answer = self._server.post(f"flow_runs/{run_id}/{action}", body)
        except PortalApiError as error:
            if error.status == 404:
                return Verdict(Status.ABORT, None, f"there is no flow run {run_id}")
            raise
        details, state = answer["details"], answer["state"]
        reason, delay = details.get("reason", ""), details.get("delay_seconds", 0.0)
        return Verdict(Status(answer["status"]), state_from(state) if state else None, reason, delay)


class HttpVariables:
    """Variables of the workspace, as `flows.sdk.backend.Variables`."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def get(self, name: str) -> StoredVariable | None:
        found = self._server.get(_path("variables", "name", name))
        return StoredVariable(found["name"], found["value"], tuple(found["tags"])) if found else None

    def set(self, name: str, value: Any, tags: Sequence[str], overwrite: bool) -> StoredVariable:
        body = {"name": name, "value": value, "tags": list(tags)}
        try:
            self._server.post("variables/", body)
        except PortalApiError as error:
            if error.status != 409:
                raise
            if not overwrite:
                text = f"There is a variable {name!r} already; replace it with overwrite=True."
                raise AlreadyThereError(text) from error
            self._server.patch(_path("variables", "name", name), {"value": value, "tags": list(tags)})
        return StoredVariable(name, value, tuple(tags))

    def unset(self, name: str) -> bool:
        return self._server.delete(_path("variables", "name", name))


class HttpBlocks:
    """Blocks of the workspace, as `flows.sdk.backend.Blocks`."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    def load(self, type: str, name: str) -> dict[str, Any] | None:
        found = self._server.get(_path("blocks", "type", type, "name", name))
        return found["document"] if found else None

    def save(self, type: str, name: str, document: Mapping[str, Any], overwrite: bool) -> None:
        body = {"type": type, "name": name, "document": document, "overwrite": overwrite}
        try:
            self._server.post("blocks/", body)
        except PortalApiError as error:
            if error.status != 409:
                raise
            text = f"There is a block {type}/{name} already; replace it with overwrite=True."
            raise AlreadyThereError(text) from error

    def delete(self, type: str, name: str) -> bool:
        return self._server.delete(_path("blocks", "type", type, "name", name))


def http_backend(url: str, key: str) -> Backend:
    """The backend of the server at `url`; `key` is an API key or a run's token. Raises ValueError."""
    client = ApiClient(url, key)
    server = _Server(client)
    pages = client.url.removesuffix("/api")
    return Backend(HttpRuns(server), HttpVariables(server), HttpBlocks(server), pages, RemotePortal(client))


def _path(*parts: str) -> str:
    """A path from names that may hold any character."""
    return "/".join(quote(part, safe="") for part in parts)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()
