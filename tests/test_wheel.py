"""The wheel with its base dependencies alone: an SDK that runs flows, in an environment without Django."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PROJECT

PARTS = ["flows", "runs", "agents", "portal", "pyproject.toml", "README.md", "LICENSE"]
SCRIPT = """
import importlib.util
assert importlib.util.find_spec("django") is None

from flows import flow, get_run_logger, task
from flows import artifacts, futures, runtime, states, task_runners, testing  # noqa: F401

@task(retries=1)
def double(number: int) -> int:
    get_run_logger().info("doubling %d", number)
    return number * 2

@flow
def total(numbers: list[int]) -> int:
    return sum(double.map(numbers).result())

print("total:", total(["1", "2"]))
"""


@pytest.mark.slow
def test_the_sdk_of_the_wheel_needs_no_django(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for part in PARTS:
        path = PROJECT / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(source)])
    (wheel,) = tmp_path.glob("*.whl")
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")])
    python = str(tmp_path / "bare" / "bin" / "python")
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", str(wheel)])

    assert "total: 6" in run([python, "-I", "-c", SCRIPT])


def run(command: list[str]) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
