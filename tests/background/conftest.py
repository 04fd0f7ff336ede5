"""A server that this process reaches by HTTP, agents, and processes that serve tasks."""

from pathlib import Path

import pytest

from tests.around.conftest import Around, known_portal
from tests.portal.fixtures import editor, elsewhere, foreigner, operator, superuser, viewer, workspace
from tests.processes import RunningStack

__all__ = [
    "editor", "elsewhere", "foreigner", "known_portal", "operator", "superuser", "viewer", "workspace",
]  # fmt: skip


class Background(Around):
    """Starts processes that serve the tasks of our `tasks.py`."""

    def worker(self) -> "object":
        return self.script(Path(__file__).parent / "tasks.py")


@pytest.fixture
def background(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Background:
    """With a server; `delay` in the test itself reaches it by HTTP."""
    background = Background(stack)
    background.serve()
    monkeypatch.setenv("PORTAL_API_URL", background.url)
    monkeypatch.setenv("PORTAL_API_KEY", background.key)
    return background
