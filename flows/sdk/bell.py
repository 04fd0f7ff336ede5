"""How a task worker waits for tasks: until the server says that there is one, and not for long."""

import threading
from collections.abc import Sequence

from flows.sdk import portal
from flows.sdk.background import PATH
from flows.sdk.client import NoAnswer, PortalApiError
from flows.sdk.portal import RemotePortal

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
LONGEST_REST = 10.0  # a bell may be missed


class Bell:
    """Listens in a thread of its own, and only while somebody waits.

    Without a server elsewhere (a worker in a process of Portal's own), or with one that has no bell, waiting
    is a pause that grows to a second. `hears`: the bell works, so that waiting may take 10 s.
    """

    def __init__(self, task_keys: Sequence[str]) -> None:
        self._keys = list(task_keys)
        self._woken = threading.Event()
        self._wanted = threading.Event()
        self._ended = threading.Event()
        self.hears = False
        self._pause = FIRST_PAUSE

    def start(self) -> None:
        """Begin to listen."""
        server = portal.needed("A task worker")
        if isinstance(server, RemotePortal):
            listening = threading.Thread(
                target=self._listen, args=[server.apart()], name="task-bell", daemon=True
            )
            listening.start()

    def wait(self) -> None:
        """Return when there may be a task."""
        self._wanted.set()
        rung = self._woken.wait(LONGEST_REST if self.hears else self._pause)
        self._woken.clear()
        self._wanted.clear()
        self._pause = FIRST_PAUSE if rung else min(2 * self._pause, LONGEST_PAUSE)

    def end(self) -> None:
        """Listen no more, and wait for nothing."""
        self._ended.set()
        self._wanted.set()
        self._woken.set()

    def _listen(self, server: RemotePortal) -> None:
        while not self._ended.is_set():
            self._wanted.wait()
            try:
                rung = server.post(f"{PATH}/bell", {"task_keys": self._keys})["rung"]
                self.hears = True
            except (NoAnswer, PortalApiError):
                self.hears, rung = False, False
                self._ended.wait(LONGEST_PAUSE)
            if rung and self._wanted.is_set():
                self._wanted.clear()
                self._woken.set()
        server.close()
