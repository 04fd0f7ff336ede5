"""Every snippet in the documentation of the SDK runs as it stands there.

```python blocks run alone, ```python server ones with PORTAL_API_URL and PORTAL_API_KEY of a real server.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runs.models import FlowRun
from tests.processes import PROJECT
from tests.scripts.conftest import Server

PAGES = ("sdk.md", "remote.md")


def snippets(fence: str) -> list[object]:
    """Each block of the pages that begins with ```<fence>, named by its heading."""
    found = []
    for page in PAGES:
        for section in re.split(r"(?m)^## ", (PROJECT / "docs" / page).read_text())[1:]:
            heading = section.partition("\n")[0]
            blocks = re.findall(rf"(?ms)^```{fence}\n(.*?)^```$", section)
            names = [f"{page} {heading} {number}" for number in range(1, len(blocks) + 1)]
            found += [pytest.param(block, id=name) for block, name in zip(blocks, names, strict=True)]
    return found


def run(snippet: str, folder: Path, **environment: str) -> None:
    file = folder / "snippet.py"
    file.write_text(snippet)
    kept = {
        name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_SETTINGS_MODULE"))
    }
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr


def test_the_pages_have_snippets() -> None:
    assert len(snippets("python")) >= 20


@pytest.mark.parametrize("snippet", snippets("python"))
def test_snippet(snippet: str, tmp_path: Path) -> None:
    run(snippet, tmp_path)


@pytest.mark.processes
@pytest.mark.parametrize("snippet", snippets("python server"))
def test_snippet_with_a_server(snippet: str, server: Server) -> None:
    run(snippet, server.folder, PORTAL_API_URL=server.url, PORTAL_API_KEY=server.key)

    assert FlowRun.objects.exists()
