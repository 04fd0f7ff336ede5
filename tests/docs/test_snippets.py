"""Every snippet in the documentation of the SDK runs as it stands there."""

import re
import runpy
from pathlib import Path

import pytest

from tests.processes import PROJECT

PAGE = PROJECT / "docs" / "sdk.md"


def snippets() -> list[object]:
    """Each ```python block of the page, named by its heading."""
    found = []
    for section in re.split(r"(?m)^#+ ", PAGE.read_text())[1:]:
        heading = section.partition("\n")[0]
        for number, block in enumerate(re.findall(r"(?ms)^```python\n(.*?)^```$", section), 1):
            found.append(pytest.param(block, id=f"{heading} {number}"))
    return found


def test_the_page_has_snippets() -> None:
    assert len(snippets()) >= 15


@pytest.mark.parametrize("snippet", snippets())
def test_snippet(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORTAL_API_URL", raising=False)
    file = tmp_path / "snippet.py"
    file.write_text(snippet)

    runpy.run_path(str(file), run_name="__main__")
