"""Scripts written for Prefect 3 run unchanged but for the import line, and print what they printed there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PROJECT

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.py"))


def migrated(source: str) -> str:
    """The whole migration."""
    return re.sub(r"(?m)^from prefect\b", "from flows", source)


def expected(source: str) -> str:
    """What follows "# Prints:" at the end of a script: the output of Prefect 3.8."""
    return "".join(line[2:] + "\n" for line in source.partition("\n# Prints:\n")[2].splitlines())


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script: Path, tmp_path: Path) -> None:
    source = script.read_text()
    assert "prefect" not in migrated(source)
    (tmp_path / script.name).write_text(migrated(source))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}

    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(source)
