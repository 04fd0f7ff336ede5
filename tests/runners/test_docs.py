"""The page about task runners tells the truth: its examples run."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "task-runners.md"
EXAMPLES = re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "source"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(title: str, source: str) -> None:
    if title == "Dask":
        pytest.importorskip("distributed")
    exec(compile(source, title, "exec"), {"__name__": "example"})
