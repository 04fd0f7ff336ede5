"""A disk of a few hundred MiB, to be filled: a tmpfs of its own, where this machine lets us mount one."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

CHUNK = 64 << 10


class SmallDisk:
    """A mounted disk. `fill` leaves no room on it, `free` makes some again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all room but `leave` bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while self._room() > leave:
                    file.write(b"x" * min(CHUNK, self._room() - leave))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        self._ballast.unlink()

    def _room(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize


@contextmanager
def small_disk(mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a disk for the body. Skips the test where that is not allowed."""
    with TemporaryDirectory(prefix="disk-") as name:
        folder = Path(name)
        options = ["-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0711", "tmpfs", name]
        try:
            mounted = subprocess.run(["mount", *options], capture_output=True).returncode == 0
        except FileNotFoundError:
            mounted = False
        if not mounted:
            pytest.skip("no disk of its own can be mounted here")
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
