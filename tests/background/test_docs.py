"""The page about background tasks tells the truth: its files work together."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.background.conftest import Background
from tests.processes import PATIENCE, PROJECT

PAGE = PROJECT / "docs" / "background-tasks.md"
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))

pytestmark = pytest.mark.processes


def written(background: Background) -> Path:
    for name, content in FILES.items():
        (background.folder / name).write_text(content)
    return background.folder / "shop.py"


def run(background: Background, script: Path) -> None:
    known = {"PORTAL_API_URL": background.url, "PORTAL_API_KEY": background.key, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env={**os.environ, **known},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr


def test_the_shop_with_an_agent(background: Background) -> None:
    background.agent()
    run(background, written(background))


def test_the_shop_with_a_worker(background: Background) -> None:
    script = written(background)
    worker = background.script(background.folder / "worker.py")
    try:
        run(background, script)
    finally:
        worker.terminate()
    assert worker.wait(PATIENCE) == 0
