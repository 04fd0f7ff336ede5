"""The snippets of docs/people.md, as they stand there."""

import re
from pathlib import Path

import pytest

from flows.sdk.backend import backed_by
from flows.sdk.memory_backend import memory_backend

PAGE = Path(__file__).parents[2] / "docs" / "people.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str) -> None:
    with backed_by(memory_backend()):
        exec(compile(snippet, str(PAGE), "exec"), {"__name__": "snippet"})


def test_the_page_has_snippets() -> None:
    assert len(SNIPPETS) >= 3
