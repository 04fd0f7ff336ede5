"""Portal's API, as flow code calls it: the door of the backend, for all that has no port of its own.

Inside an agent: the API of the same process. Elsewhere: the server at PORTAL_API_URL, or else, in a
process that runs Portal's Django project, that project. A plain script without any of them has no Portal.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Protocol, TypeVar
from uuid import UUID

from flows.sdk import backend
from flows.sdk.client import AWAY, ApiClient, NoAnswer, PortalApiError
from flows.sdk.resting import Bell, bell_here
from flows.sdk.steps import Sleep, Steps, drive, drive_async

Result = TypeVar("Result")

PATIENCE = 60.0  # seconds that a server may be away
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0


class NoPortalError(RuntimeError):
    """Something was asked of Portal, but this process knows none."""


class Portal(Protocol):
    """The API. Paths begin behind "/api/"; bodies and answers are JSON.

    All raise PortalApiError for a refusal, and NoAnswer (or status 503) while nobody answers.
    """

    def get(self, path: str, **query: Any) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any]) -> Any: ...


class RemotePortal:
    """The API of a server elsewhere."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(path, **query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        import json

        return self._client.post(path, json.dumps(body).encode())

    def apart(self) -> "RemotePortal":
        """The same server on a connection of its own: for calls that take long."""
        return RemotePortal(self._client.another())

    def close(self) -> None:
        """Drop the connection; the next call opens a new one."""
        self._client.close()

    @cached_property
    def bell(self) -> Bell | None:
        """What rings for slots: the server."""
        from flows.sdk.http_bell import HttpBell

        return HttpBell(self._client)


@dataclass(frozen=True, slots=True)
class Caller:
    """The flow run that calls the API of its own process."""

    workspace_id: UUID
    name: str


_here: Callable[[Caller | None], Portal] | None = None


def fill(here: Callable[[Caller | None], Portal]) -> None:
    """Say how the API of this process is made. Done once, by the app that owns the API."""
    global _here
    _here = here
    backend.fill(PortalHere)


class PortalHere:
    """The API of this process, on behalf of `caller`; without one, of the project's owner. It is loaded when
    it is first called."""

    def __init__(self, caller: Caller | None = None) -> None:
        self._caller = caller

    def get(self, path: str, **query: Any) -> Any:
        return self._loaded.get(path, **query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._loaded.post(path, body)

    @property
    def bell(self) -> Bell | None:
        """What rings for slots: this process."""
        return bell_here()

    @cached_property
    def _loaded(self) -> Portal:
        if _here is None:
            raise NoPortalError("This process has no API of its own.")
        return _here(self._caller)


def reached() -> Portal | None:
    """The Portal around the caller, else that of this process; None if there is none. Raises ValueError for a
    bad PORTAL_API_URL."""
    return backend.current_backend().portal or backend.process_backend().portal


def needed(what: str) -> Portal:
    """As `reached`. Raises NoPortalError, naming `what` needs one, if there is none."""
    portal = reached()
    if portal is None:
        raise NoPortalError(f"{what} needs a Portal: set PORTAL_API_URL to http://HOST:PORT/api.")
    return portal


class Ask:
    """Call a function that blocks: here, or for async code in another thread."""

    __slots__ = ("question",)

    def __init__(self, question: Callable[[], Any]) -> None:
        self.question = question

    def run(self) -> Any:
        return self.question()

    async def run_async(self) -> Any:
        import asyncio

        return await asyncio.to_thread(self.question)


def ask(question: Callable[[], Result]) -> Steps[Result]:
    """The answer of a `get` or `post`, asked again while the server is away, for up to 60 s.

    Only for what may be asked twice.
    """
    delay, deadline = FIRST_DELAY, monotonic() + PATIENCE
    while True:
        try:
            answer: Result = yield Ask(question)
            return answer
        except (NoAnswer, PortalApiError) as error:
            if not _is_away(error) or monotonic() > deadline:
                raise
        yield Sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY)


def _is_away(error: NoAnswer | PortalApiError) -> bool:
    return isinstance(error, NoAnswer) or error.status in AWAY


def here_or_awaited(steps: Steps[Result]) -> Result | Coroutine[Any, Any, Result]:
    """What the steps come to; where an event loop runs, a coroutine that does. As in Prefect."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return drive(steps)
    return drive_async(steps)
