"""Prefect doing the same: its own server and client, in an environment of their own.

`make prefect-client` makes that environment; without it nothing is measured, since Prefect's dependencies
are not ours. Its server keeps SQLite, as it does by itself.
"""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.figures import Figure
from tests.prefect.client import prefect_python
from tests.processes import free_port

SCRIPT = """
import json, sys, time
start = time.perf_counter()
from prefect import __version__, flow, task
imported = time.perf_counter() - start

@task
def trivial(n: int) -> int:
    return n

@flow
def child(n: int) -> int:
    return n

@flow
def overhead(what: str, count: int) -> float:
    start = time.perf_counter()
    if what == "map":
        [future.result() for future in trivial.map(range(count))]
    else:
        call = {"task": trivial, "subflow": child}[what]
        for n in range(count):
            call(n)
    return time.perf_counter() - start

overhead("task", 3)
found = {"version": __version__, "import": imported}
for what, count in (("task", 300), ("map", 300), ("subflow", 20)):
    found[what] = [count, overhead(what, count)]
print("FOUND", json.dumps(found))
"""
PATIENCE = 90.0  # seconds that its server may take to start


def measure(folder: Path) -> list[Figure]:
    python = prefect_python()
    if not python:
        return [Figure("Prefect", "not measured: run `make prefect-client` first")]
    with tempfile.TemporaryDirectory() as home, _server(python, Path(home)) as environment:
        found = json.loads(_output(python, Path(home), environment))
    name = f"Prefect {found['version']}"
    return [
        Figure(f"{name}: import of flow, task", f"{found['import'] * 1e3:.0f} ms"),
        *(_figure(name, what, *found[what]) for what in ("task", "map", "subflow")),
    ]


def _figure(name: str, what: str, count: int, seconds: float) -> Figure:
    value = f"{count / seconds:,.1f}/s, {seconds / count * 1e3:.2f} ms each"
    return Figure(f"{name}: {count} x {what} in a script", value)


def _output(python: str, home: Path, environment: dict[str, str]) -> str:
    script = home / "overhead.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [python, str(script)], env=environment, stdout=subprocess.PIPE, text=True, timeout=600, check=True
    )
    return next(line for line in done.stdout.splitlines() if line.startswith("FOUND")).removeprefix("FOUND")


@contextmanager
def _server(python: str, home: Path) -> Iterator[dict[str, str]]:
    """A server of its own, and the environment in which its clients find it."""
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    where = ["--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    command = [python, "-m", "prefect", "server", "start", *where]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(f"{environment['PREFECT_API_URL']}/health", server)
            yield environment
        finally:
            server.terminate()
            server.wait()


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"Prefect's server did not answer at {url} within {PATIENCE:g} s")
