"""Seals: what one process hands to another through Portal is signed here, and opened only if it verifies.

Calls and results of background tasks are pickles, which are code. Portal hands the keys of a workspace to
those who may deploy there, keeps the bytes as they are, and opens nothing.
"""

from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from flows.sdk import portal
from flows.sdk.client import PortalApiError
from flows.sdk.signing import Signer
from flows.sdk.steps import drive

KEEP_SECONDS = 60.0  # keys may be changed while processes run


class UnverifiedError(RuntimeError):
    """Something is not signed with a key of the workspace, so it was not opened."""


class Seal(Protocol):
    """Signs for a name, and verifies what was signed for it; see `Signer`."""

    def sign(self, key: str, content: bytes) -> bytes: ...

    def verified(self, key: str, signed: bytes) -> bytes | None: ...


def call_name(id: UUID) -> str:
    """What the signature of a call holds for: of that errand or background task alone."""
    return f"errand {id}"


def answer_name(id: UUID) -> str:
    """What the signature of the outcome of a call holds for."""
    return f"answer {id}"


class WorkspaceSeal:
    """The seal of the workspace that `server` works in; its keys are asked for when they are needed.

    Raises UnverifiedError if the server does not hand them to this caller. Safe to share by threads.
    """

    def __init__(self, server: portal.Portal) -> None:
        self._get: Callable[[], Any] = partial(server.get, "results/signing_keys")
        self._changing = Lock()
        self._signer: Signer | None = None
        self._asked_at = 0.0

    def sign(self, key: str, content: bytes) -> bytes:
        return self._keys(newer_than=monotonic() - KEEP_SECONDS).sign(key, content)

    def verified(self, key: str, signed: bytes) -> bytes | None:
        """The content; None if it is not signed with any of the keys, which are asked for anew before."""
        began = monotonic()
        content = self._keys(newer_than=0.0).verified(key, signed)
        return self._keys(newer_than=began).verified(key, signed) if content is None else content

    def _keys(self, newer_than: float) -> Signer:
        with self._changing:
            if self._signer is None or self._asked_at < newer_than:
                try:
                    self._signer = Signer.of_answer(drive(portal.ask(self._get)))
                except PortalApiError as error:
                    if error.status not in {403, 404}:
                        raise
                    raise UnverifiedError(
                        "The keys that background tasks are signed with are for those who may deploy (the "
                        f"role editor), so nothing can be signed or opened here: {error}"
                    ) from error
                self._asked_at = monotonic()
            return self._signer


_seals: "WeakKeyDictionary[portal.Portal, WorkspaceSeal]" = WeakKeyDictionary()


def seal_of(server: portal.Portal) -> WorkspaceSeal:
    """The one seal of each server: its keys are not asked for with every call."""
    found = _seals.get(server)
    if found is None:
        found = _seals[server] = WorkspaceSeal(server)
    return found
