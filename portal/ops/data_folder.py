"""The data folder of `manage.py up`: its lock, its secret, and what it tells other processes."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from portal.ops.stack import Stack, StackError


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step: readers see all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


class DataFolder:
    """One stack's folder. Only one `up` may hold it; the kernel frees the lock of a killed one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack_file = path / "stack.json"
        self.api_key_file = path / "api-key"
        self._lock_file = path / "lock"
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder and lock it. Raises StackError if that cannot be."""
        with self._in_words():
            # Root's PostgreSQL runs as another user, who must get through but may not look around.
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
            self._hold(self._lock)

    def _hold(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = self._lock_file.read_text().strip() or "unknown"
            raise StackError(
                f"A stack runs on {self.path} already (process {owner}).\n"
                "Use that one, stop it first, or choose another folder with --data."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)

    def secret_key(self) -> str:
        """The secret that this stack signs with; made on first use and kept. Raises StackError."""
        file = self.path / "secret-key"
        with self._in_words():
            if not file.exists():
                write_secret(file, secrets.token_urlsafe(50))
            return file.read_text()

    def announce(self, stack: Stack) -> None:
        """Let other processes find the stack. Raises StackError."""
        with self._in_words():
            write_secret(self.stack_file, json.dumps(asdict(stack), indent=2) + "\n")

    def withdraw(self) -> None:
        """Say that no stack runs here any more."""
        self.stack_file.unlink(missing_ok=True)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Say what the system refuses: a file in the way, no permission, no room."""
        try:
            yield
        except OSError as error:
            raise StackError(
                f"Cannot use the data folder {self.path}: {error.strerror}.\n"
                "Choose another one with --data or PORTAL_DATA_DIR."
            ) from error
