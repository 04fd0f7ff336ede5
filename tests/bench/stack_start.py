"""`manage.py up` from an empty folder: time to ready, and memory when idle."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.figures import Figure
from tests.processes import PROJECT, descendants, free_port

SETTLE_SECONDS = 5
LONGEST_START = 60


@contextmanager
def running_up(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    own = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL", "PORTAL_SECRET_KEY"}}
    command = [sys.executable, str(PROJECT / "manage.py"), "up", "--port", str(port), "--data", str(folder)]
    up = subprocess.Popen([*command, "--agents", "2"], stdout=subprocess.DEVNULL, cwd=folder, env=own)
    try:
        yield up
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(30)


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + LONGEST_START
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/ready") as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    raise TimeoutError(f"not ready within {LONGEST_START} s")


def proportional_mib(pid: int) -> float:
    """The process's share of memory: its own pages, and its part of those that it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def is_postgres(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith("postgres")


def idle_memory(up: int) -> tuple[float, list[str]]:
    parts: list[tuple[float, str]] = []
    for pid in {up, *descendants(up)}:
        with suppress(FileNotFoundError, ProcessLookupError):
            if not is_postgres(pid):
                name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[-40:]
                parts.append((proportional_mib(pid), name.strip()))
    return sum(size for size, _ in parts), [f"{size:.0f} {name}" for size, name in sorted(parts)]


def measure(folder: Path) -> list[Figure]:
    port = free_port()
    data = folder / "up"
    data.mkdir()
    start = time.perf_counter()
    with running_up(data, port) as up:
        wait_until_ready(port)
        took = time.perf_counter() - start
        time.sleep(SETTLE_SECONDS)
        memory, parts = idle_memory(up.pid)
    print("idle memory, MiB (PSS):", *parts, sep="\n  ", file=sys.stderr)
    return [
        Figure("up, empty folder -> /api/ready", f"{took:.1f} s", "<= 6 s"),
        Figure("idle PSS, two agents, without PostgreSQL", f"{memory:.0f} MiB", "<= 350 MiB"),
    ]
