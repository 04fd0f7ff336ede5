"""The snippets of the pages about backfills and retries run as they stand there."""

import re
from pathlib import Path

import pytest

from runs.models import Backfill, FlowRun
from tests.docs.test_snippets import run
from tests.processes import PROJECT
from tests.scripts.conftest import Server


def snippet(page: str, fence: str) -> str:
    """The one block of a page that begins with ```<fence>."""
    [found] = re.findall(rf"(?ms)^```{fence}\n(.*?)^```$", (PROJECT / "docs" / page).read_text())
    return str(found)


def test_a_retried_flow(tmp_path: Path) -> None:
    run(snippet("retries.md", "python"), tmp_path)


@pytest.mark.processes
def test_a_backfill_from_python(server: Server) -> None:
    run(
        snippet("backfills.md", "python server"),
        server.folder,
        PORTAL_API_URL=server.url,
        PORTAL_API_KEY=server.key,
    )

    made = Backfill.objects.get()
    assert (made.total, made.released) == (62, 3)
    assert FlowRun.objects.filter(backfill=made).earliest("slot").parameters["day"] == "2026-03-01"
