"""The API's client: JSON over one kept connection."""

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT = 30.0  # seconds
# What a server, or a proxy before it, answers while it starts, stops or has too much to do.
AWAY = frozenset({429, 502, 503, 504})


class PortalApiError(RuntimeError):
    """The API refused. The text is for people; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, str(self))  # it crosses from a task's process to its flow's


class NoAnswer(Exception):
    """Nobody answers, or only "not now". Whether a request was carried out is unknown."""


class ApiClient:
    """The API at `url` (http://HOST:PORT/api), called with the API key `key`. Safe to share by threads.

    Raises ValueError for another kind of `url`. Requests raise NoAnswer and PortalApiError.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._address = urlsplit(self.url)
        if self._address.scheme not in {"http", "https"} or not self._address.hostname:
            raise ValueError(f"PORTAL_API_URL must be http://HOST:PORT/api, not {url!r}.")
        self._key = key
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._connection: HTTPConnection | None = None
        self._lock = Lock()

    def get(self, path: str, **query: Any) -> Any:
        """The answer's JSON. `path` begins behind "/api/"."""
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: bytes) -> Any:
        """As `get`; `body` is JSON."""
        return self._request("POST", path, body)

    def patch(self, path: str, body: bytes) -> Any:
        return self._request("PATCH", path, body)

    def delete(self, path: str) -> None:
        self._request("DELETE", path, None)

    def another(self) -> "ApiClient":
        """A client of the same server, with a connection of its own."""
        return ApiClient(self.url, self._key)

    def close(self) -> None:
        """Drop the connection; the next request opens a new one."""
        with self._lock:
            self._disconnect()

    def _request(self, method: str, path: str, body: bytes | None) -> Any:
        with self._lock:
            is_kept = self._connection is not None
            try:
                status, content = self._exchange(method, path, body)
            except ConnectionError as error:
                if not is_kept:
                    raise NoAnswer(str(error)) from error
                status, content = self._exchange_anew(method, path, body)
            except (OSError, HTTPException) as error:
                raise NoAnswer(str(error)) from error
        return self._answer(status, content)

    def _exchange_anew(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """The server closed the kept connection while nobody used it: no reason to wait."""
        try:
            return self._exchange(method, path, body)
        except (OSError, HTTPException) as error:
            raise NoAnswer(str(error)) from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if self._connection is None:
            kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
            self._connection = kind(self._address.hostname or "", self._address.port, timeout=TIMEOUT)
        try:
            self._connection.request(method, f"{self._address.path}/{path}", body, self._headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except BaseException:  # also a signal: half an answer must not be taken for the next one
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _answer(self, status: int, content: bytes) -> Any:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        detail = answer.get("detail", "") if isinstance(answer, dict) else ""
        if status in AWAY:
            raise NoAnswer(detail or f"HTTP status {status}")
        if status < 400 and (answer is not None or (status in {201, 204} and not content)):
            return answer
        raise PortalApiError(status, self._refusal(status, detail))

    def _refusal(self, status: int, detail: str) -> str:
        if status == 401:
            return f"{self.url} does not accept the API key in PORTAL_API_KEY (401). {detail}".rstrip()
        if not detail:
            return f"{self.url} does not answer as Portal does ({status}). Check PORTAL_API_URL."
        return f"{detail} ({status} from {self.url})"
