"""Slots that are held: a thread renews their lease until they are released, and tells when they are lost."""

import ctypes
import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol
from uuid import UUID

from flows.sdk import portal
from flows.sdk.client import NoAnswer, PortalApiError
from flows.sdk.steps import Steps

logger = logging.getLogger("flows.concurrency")

LEASE_SECONDS = 300.0


class ConcurrencySlotsLostError(RuntimeError):
    """The slots of a block were lost while it was under way: others may hold them."""


class SlotsLost(BaseException):
    """Raised within the block that lost its slots; `except Exception` does not swallow it."""


def lost_slots(names: Sequence[str]) -> str:
    return f"The slots of {', '.join(names)} were lost: the server was not reached in time to keep them."


class Loss(Protocol):
    """Ends the code that lost its slots. Called from the thread that renews them, once at most."""

    def __call__(self) -> None: ...


def loss_of_thread() -> Loss:
    """Ends the code of the calling thread as soon as it runs Python code."""
    ident = threading.get_ident()

    def end() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(SlotsLost))

    return end


class LossOfTask:
    """Ends the calling asyncio task at its next `await`."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._has_cancelled = False

    def __call__(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._has_cancelled = self._task.cancel()

    def caused(self, error: BaseException) -> bool:
        """Whether it is this loss that ends the block with `error`. The task is then free to go on."""
        import asyncio

        if not self._has_cancelled or not isinstance(error, asyncio.CancelledError) or self._task is None:
            return False
        self._task.uncancel()
        return True


class Lease:
    """Slots that are held, until `release`."""

    def __init__(
        self,
        server: portal.Portal,
        lease_id: UUID,
        names: Sequence[str],
        seconds: float | None,
        loss: Callable[[], None] | None = None,
    ) -> None:
        self._server = server
        self._seconds = seconds or LEASE_SECONDS
        self._names = names
        self._path = f"concurrency_limits/leases/{lease_id}"
        self._loss = loss
        self._changing = threading.Lock()  # what is released cannot be lost any more
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="concurrency-lease", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        held_until = monotonic() + self._seconds
        while not self._released.wait(self._seconds / 3):
            began = monotonic()
            try:
                answer = self._server.post(f"{self._path}/renew", {"lease_seconds": self._seconds})
            except (NoAnswer, PortalApiError) as error:
                logger.warning("The lease of %s could not be renewed: %s", ", ".join(self._names), error)
                if monotonic() < held_until:
                    continue
                break
            if not answer["held"]:
                break
            held_until = began + self._seconds
        self._lose()

    def _lose(self) -> None:
        """Tell, unless they were released, which ends the renewing, too."""
        with self._changing:
            if not self._released.is_set():
                logger.error("%s", lost_slots(self._names))
                if self._loss is not None:
                    self._loss()

    def release(self) -> Steps[None]:
        """Free the slots. A server that is away frees them itself when the lease has expired."""
        with self._changing:
            self._released.set()
        try:
            yield from portal.ask(lambda: self._server.post(f"{self._path}/release", {}))
        except (NoAnswer, PortalApiError) as error:
            logger.warning("The slots of %s could not be released: %s", ", ".join(self._names), error)
