"""Is a TCP port free, and if not, who holds it? Reads `/proc`; needs no other tool."""

import socket
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def is_free(host: str, port: int) -> bool:
    """Whether we could listen there now. Raises PermissionError for a port that only root may take."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise
        except OSError:
            return False
    return True


def holder(port: int) -> Holder | None:
    """Who listens on `port`; None if nobody does, or a process of another user that we may not see."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").iterdir() if wanted else ():
        if process.name.isdigit() and _has_open(process, wanted):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            return Holder(int(process.name), command[:200])
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            local_port = int(fields[1].rpartition(":")[2], 16)
            if local_port == port and fields[3] == LISTENING:
                inodes.add(fields[9])
    return inodes


def _has_open(process: Path, wanted: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in wanted for link in (process / "fd").iterdir())
    except OSError:
        return False
