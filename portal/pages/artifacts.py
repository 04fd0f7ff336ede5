"""Artifacts of a run, ready for its page."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from portal.pages.markdown import as_html
from runs.models import Artifact, FlowRun

MOST_ARTIFACTS = 20
MOST_ROWS = 100
MOST_COLUMNS = 20
MOST_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An artifact, cut to what a page can show: a table, or HTML, or percent, or the address of an image.

    `image` is shown in place, `link` only leads there: pictures from elsewhere would tell who looks at them.
    """

    name: str
    type: str
    description: SafeString
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    left_out: int = 0
    html: str = ""
    percent: float | None = None
    image: str = ""
    link: str = ""


def exhibits_of(run: FlowRun) -> list[Exhibit]:
    """The first artifacts of a run, in the order of their making."""
    found = Artifact.objects.filter(flow_run=run).order_by("created", "id")[:MOST_ARTIFACTS]
    return [exhibit_of(artifact) for artifact in found]


def exhibit_of(artifact: Artifact) -> Exhibit:
    """What a page shows of an artifact. Data that does not fit its type is shown as text."""
    data = artifact.data
    shown: dict[str, Any]
    if artifact.type == Artifact.Type.TABLE and isinstance(data, list):
        shown = _table(data)
    elif artifact.type == Artifact.Type.PROGRESS and isinstance(data, int | float):
        shown = {"percent": min(max(data, 0), 100)}
    elif artifact.type == Artifact.Type.IMAGE and isinstance(data, str):
        shown = _image(data)
    else:
        shown = {"html": as_html(str(data)[:MOST_CHARACTERS])}
    return Exhibit(str(artifact), artifact.type, as_html(artifact.description[:MOST_CHARACTERS]), **shown)


def _table(data: list[Any]) -> dict[str, Any]:
    """The rows under the columns that any of the shown rows has."""
    rows = [row for row in data if isinstance(row, dict)]
    shown = rows[:MOST_ROWS]
    columns = list(dict.fromkeys(str(name) for row in shown for name in row))[:MOST_COLUMNS]
    cells = [[row.get(name, "") for name in columns] for row in shown]
    return {"columns": columns, "rows": cells, "left_out": len(rows) - len(shown)}


def _image(url: str) -> dict[str, Any]:
    if url.startswith("data:image/"):
        return {"image": url}
    return {"link": url} if url.startswith(("https://", "http://")) else {"html": as_html(url)}
