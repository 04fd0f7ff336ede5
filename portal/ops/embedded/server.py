"""What the embedded servers share: start, wait, stop, and clearing away what a killed owner left."""

import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from portal.ops import processes

MAX_PATH = 90  # a Unix socket's path has 107 bytes, and ours adds up to 17


class ServerError(Exception):
    """A server cannot be started here. The text says why and what to do."""


def check_path(folder: Path) -> None:
    """Refuse a data folder in which no Unix socket fits."""
    length = len(str(folder).encode())
    if length > MAX_PATH:
        raise ServerError(
            f"The data folder's path has {length} characters, and sockets allow {MAX_PATH}: {folder}\n"
            "Choose a shorter one with --data or PORTAL_DATA_DIR."
        )


class Server(ABC):
    """A server process with a folder of its own, in which it runs (so `/proc` tells whose it is)."""

    name: str
    start_timeout = 30.0
    stop_timeout = 30.0
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_file = folder.parent / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for clients; known before the server runs."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether clients are served now."""

    @abstractmethod
    def left_behind(self) -> int | None:
        """The process id that a previous server noted in the folder, if any."""

    @abstractmethod
    def _launch(self) -> "subprocess.Popen[bytes]":
        """Prepare the folder and start the process."""

    @property
    def pid(self) -> int | None:
        """The process id while we run it."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until it answers. Raises ServerError with the end of its log."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start without waiting. A server that a killed owner left in the folder is ended first."""
        check_path(self.folder.parent)
        self.end_left_behind()
        self._process = self._launch()

    def wait(self) -> None:
        """Wait until a launched server answers. Raises ServerError with the end of its log."""
        if not processes.wait_until(lambda: self.pid is None or self.answers(), self.start_timeout):
            raise ServerError(
                f"{self.name} did not answer for {self.start_timeout:.0f} s.\n{self._log_tail()}"
            )
        if self.pid is None:
            raise ServerError(f"{self.name} did not start.\n{self._log_tail()}")

    def stop(self) -> None:
        """Stop cleanly; after `stop_timeout` seconds, kill."""
        if self._process is not None:
            processes.end(self._process, self.stop_signal, self.stop_timeout)
            self._process = None

    def end_left_behind(self) -> None:
        """End a server whose owner was killed. Two servers on one folder would destroy the data."""
        pid = self.left_behind()
        if pid is None or processes.working_folder(pid) != self.folder.resolve():
            return
        processes.end_stranger(pid, self.stop_signal, self.stop_timeout)

    def _log_tail(self, lines: int = 8) -> str:
        try:
            text = self.log_file.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join([f"The end of {self.log_file}:", *text.splitlines()[-lines:]])
