"""The standard error of an isolated process: passed on to the agent's own, and its end kept.

What a program says when it dies (a library's last words, Python's traceback of a segmentation fault) is
nowhere else, and whoever looks at the crashed run seldom sees the agent's output.
"""

import os
import threading
from contextlib import suppress

KEPT_BYTES = 16 * 1024  # Python tells where each thread was
PATIENCE_SECONDS = 1.0  # for a process that escaped its end, and holds the pipe open


class ErrorOutput:
    """A pipe, and the thread that empties it. `writing` is the end for the process."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._kept = b""
        self._thread = threading.Thread(target=self._pass_on, name="standard error", daemon=True)

    def begin(self) -> None:
        """The process has its end of the pipe, or will never have it."""
        os.close(self.writing)
        self._thread.start()

    def end(self) -> str:
        """The last lines. Call when the process and all that it started have ended."""
        self._thread.join(PATIENCE_SECONDS)
        text = self._kept.decode(errors="replace")
        if len(self._kept) == KEPT_BYTES:  # it begins within a line
            text = text.partition("\n")[2] or text
        return text.strip()

    def _pass_on(self) -> None:
        try:
            while part := os.read(self._reading, 65536):
                self._kept = (self._kept + part)[-KEPT_BYTES:]
                with suppress(OSError):  # nobody reads what the agent says: no reason for the flow to stop
                    _write_all(part)
        finally:
            os.close(self._reading)


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]
