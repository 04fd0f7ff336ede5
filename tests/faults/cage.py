"""A control group with a memory limit, as containers have one: where this machine lets us make it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

UNIFIED = Path("/sys/fs/cgroup")  # version 2
MEMORY = UNIFIED / "memory"  # version 1
ROOT = MEMORY if MEMORY.is_dir() else UNIFIED


class Cage:
    """A group whose processes may use so much memory together, and no swap."""

    def __init__(self, mebibytes: int) -> None:
        self.folder = ROOT / f"portal-test-{uuid4().hex[:8]}"
        self.folder.mkdir()
        try:
            self._limit(mebibytes)
        except OSError:
            self.folder.rmdir()
            raise

    def _limit(self, mebibytes: int) -> None:
        limit = "memory.limit_in_bytes" if ROOT is MEMORY else "memory.max"
        (self.folder / limit).write_text(str(mebibytes << 20))
        swap = self.folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this process starts meanwhile is born in the cage, and so is all that it starts itself.

        To put a running agent there would leave out the process that it has forked ahead.
        """
        home = _home()
        _move(os.getpid(), self.folder)
        try:
            yield
        finally:
            _move(os.getpid(), home)

    def open(self) -> None:
        """Let out who is still there, and remove the cage."""
        home = _home()
        while inmates := (self.folder / "cgroup.procs").read_text().split():
            for pid in inmates:
                _move(int(pid), home)
        self.folder.rmdir()


def _home() -> Path:
    """The folder of the group that this process is in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (ROOT is MEMORY and "memory" in controllers.split(",")) or (ROOT is UNIFIED and not controllers):
            return ROOT / path.removeprefix("/")
    return ROOT


def _move(pid: int, group: Path) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def memory_cage(mebibytes: int) -> Iterator[Cage]:
    """A cage of this size. Skips the test where none can be made."""
    try:
        cage = Cage(mebibytes)
    except OSError:
        pytest.skip("no memory limit can be set here")
    try:
        yield cage
    finally:
        cage.open()
