"""The commands are clients of the API: over HTTP when PORTAL_API_URL is set, else within this process."""

import getpass
import io
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections
from django.urls import resolve

from flows.models import Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from flows.sdk.client import ApiClient, NoAnswer, PortalApiError
from portal.access.actors import actor_of_user
from portal.access.models import ApiToken
from runs.acting import acting_as


class PortalError(PortalApiError):
    """The API refused. The text is for people; `status` is HTTP's (503 also if nobody answers)."""


class Portal(Protocol):
    """The API. Paths begin behind "/api/"; bodies and answers are JSON. Both raise PortalError."""

    url: str  # of the pages

    def get(self, path: str, **query: Any) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any]) -> Any: ...


def connect(workspace: str = DEFAULT_WORKSPACE) -> Portal:
    """The API that this environment names. A token selects its own workspace, whatever is asked for."""
    address = os.environ.get("PORTAL_API_URL")
    if address:
        return RemotePortal(address, os.environ.get("PORTAL_API_KEY", ""))
    return LocalPortal(_workspace(workspace).id)


def path_of(*parts: str) -> str:
    """A path from names that may hold any character."""
    return "/".join(quote(part, safe="") for part in parts)


class RemotePortal:
    """The API of a server elsewhere."""

    def __init__(self, address: str, key: str) -> None:
        try:
            self._client = ApiClient(address, key)
        except ValueError as error:
            raise PortalError(422, str(error)) from error
        self.url = self._client.url.removesuffix("/api")

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(lambda: self._client.get(path, **query))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer(lambda: self._client.post(path, json.dumps(body).encode()))

    def _answer(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except NoAnswer as error:
            text = f"{self._client.url} does not answer as Portal does: {error}. Check PORTAL_API_URL."
            raise PortalError(503, text) from error
        except PortalApiError as error:
            raise PortalError(error.status, str(error)) from error


class CommandLine:
    """Who runs a command beside the database: it could write there anyway, so it may do everything."""

    pk = "command-line"
    is_authenticated = is_active = is_superuser = True

    def get_username(self) -> str:
        return f"{getpass.getuser()} (command line)"


def _workspace(name: str) -> Workspace:
    found: Workspace | None = Workspace.objects.filter(name=name).first()
    if found is None:
        names = ", ".join(Workspace.objects.order_by("name").values_list("name", flat=True)[:20])
        raise PortalError(404, f"There is no workspace '{name}'. There are: {names}.")
    return found


class LocalPortal:
    """The API of this process: the same views, without a server between."""

    def __init__(self, workspace_id: UUID, caller: CommandLine | None = None) -> None:
        self.url = settings.PORTAL_URL
        self._caller = caller or CommandLine()
        self._token = ApiToken(workspace_id=workspace_id)  # never saved: it says which one is meant

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, urlencode(query), b"")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("POST", path, "", json.dumps(body).encode())

    def _call(self, method: str, path: str, query: str, body: bytes) -> Any:
        match = resolve(f"/{path}", urlconf="portal.api.urls")  # wherever a project may include our pages
        with acting_as(actor_of_user(self._caller).as_json):  # as the middleware does for a server
            response = match.func(self._request(method, path, query, body), *match.args, **match.kwargs)
            response.render()
        if response.status_code == 503:
            close_old_connections()  # the database may have restarted: the next call opens a new one
        if response.status_code >= 400:
            raise PortalError(response.status_code, _detail_of(response.status_code, response.content))
        return json.loads(response.content)

    def _request(self, method: str, path: str, query: str, body: bytes) -> WSGIRequest:
        request = WSGIRequest(
            {
                "REQUEST_METHOD": method,
                "PATH_INFO": f"/api/{path}",
                "QUERY_STRING": query,
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(body)),
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "wsgi.input": io.BytesIO(body),
            }
        )
        # DRF's own door for callers that are known already; nothing from a network can open it.
        vars(request).update(_force_auth_user=self._caller, _force_auth_token=self._token)
        return request


def _detail_of(status: int, content: bytes) -> str:
    try:
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {status}."
