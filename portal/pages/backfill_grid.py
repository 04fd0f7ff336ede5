"""A backfill as a picture: a bar of how far it has come, and a square for each of its cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from django.db import connection
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from flows.catalog.json_text import json_text
from runs.models import Backfill, BackfillCell
from runs.models.backfill import Which

MOST_SQUARES = 1000
MOST_ROWS = 30
ACROSS = 48
PITCH, SIDE = 14, 12
LABEL = 124  # px before the squares of a row
LABEL_CHARACTERS = 17
BAR_WIDTH, BAR_HEIGHT = 100, 8
# From left to right in a bar; of several cells in one square, the last of these that there is colours it.
ORDER = (
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "CRASHED",
    "CANCELLING",
    "PAUSED",
    "SCHEDULED",
    "PENDING",
    "RUNNING",
)
WORST_LAST = (
    "",
    "COMPLETED",
    "CANCELLED",
    "SCHEDULED",
    "PENDING",
    "CANCELLING",
    "PAUSED",
    "RUNNING",
    "CRASHED",
    "FAILED",
)

BUCKETS = """
SELECT c.number / %s AS bucket, coalesce(r.state_type, ''), count(*)
FROM runs_backfillcell c LEFT JOIN runs_flowrun r ON r.id = c.flow_run_id
WHERE c.backfill_id = %s GROUP BY 1, 2 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Square:
    """One cell, or several that follow each other. `state_type` is empty if no run has begun.

    `slot` and `point` (of the grid) are what rows are labelled with.
    """

    state_type: str
    title: str
    slot: str = ""
    point: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A square where it is drawn, and what stands before its row."""

    row: int
    column: int
    square: Square | None
    label: str


def progress_bar(total: int, counts: Mapping[str, int]) -> SafeString:
    """Parts of a bar in the colours of states; what has no run yet is left empty."""
    parts, x = [], 0.0
    for state_type in ORDER:
        width = counts.get(state_type, 0) / max(total, 1) * BAR_WIDTH
        if width:
            parts.append((state_type.lower(), f"{x:.3f}", f"{width:.3f}", BAR_HEIGHT))
            x += width
    drawn = format_html_join("", '<rect class="state-{}" x="{}" width="{}" height="{}"></rect>', parts)
    said = ", ".join(f"{count} {name.lower()}" for name, count in counts.items()) or "nothing yet"
    return format_html(
        '<svg class="progress" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}</svg>",
        BAR_WIDTH,
        BAR_HEIGHT,
        f"of {total}: {said}",
        drawn,
    )


def grid_of(backfill: Backfill) -> SafeString:
    """All cells as squares: a column for each slot if slots come with a grid, else one after the other."""
    each = ceil(backfill.total / MOST_SQUARES)
    if each > 1:
        return _drawn(list(_in_order([*_buckets(backfill, each)])))
    squares = list(_squares(backfill))
    points = prod(len(values) for values in backfill.grid.values())
    is_table = backfill.start is not None and 1 < points <= MOST_ROWS and backfill.which == Which.ALL
    return _drawn(list(_in_columns(squares, points) if is_table else _in_order(squares)))


def _in_order(squares: Sequence[Square]) -> Iterator[Placed]:
    for place, square in enumerate(squares):
        row, column = divmod(place, ACROSS)
        yield Placed(row, column, square, square.slot or square.point if column == 0 else "")


def _in_columns(squares: Sequence[Square], points: int) -> Iterator[Placed]:
    """Bands of columns; a column is a slot, a row a point of the grid."""
    for place, square in enumerate(squares):
        slot, point = divmod(place, points)
        band, column = divmod(slot, ACROSS)
        if point == 0 and column == 0:
            yield Placed(band * (points + 1), column, None, square.slot)
        yield Placed(band * (points + 1) + 1 + point, column, square, square.point if column == 0 else "")


def _squares(backfill: Backfill) -> Iterator[Square]:
    columns = ("number", "slot", "parameters", "flow_run_id", "flow_run__state_type", "flow_run__state_name")
    cells = BackfillCell.objects.filter(backfill=backfill).order_by("number")
    for number, slot, parameters, run_id, state_type, state_name in cells.values_list(*columns):
        when = f"{slot:%Y-%m-%d %H:%M}" if slot else ""
        point = ", ".join(_text(parameters[name]) for name in backfill.grid if name in parameters)
        about = " ".join(filter(None, [when, _shown(parameters)])) or f"number {number + 1}"
        url = reverse("admin:runs_flowrun_change", args=[run_id]) if run_id else ""
        became = state_name or ("its run was removed" if number < backfill.released else "not begun")
        yield Square(state_type or "", f"{about}: {became}", when, point, url)


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_text(value)}" for name, value in parameters.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _buckets(backfill: Backfill, each: int) -> Iterator[Square]:
    found: dict[int, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(BUCKETS, [each, backfill.id])
        for bucket, state_type, count in cursor.fetchall():
            found.setdefault(bucket, {})[state_type] = count
    for bucket, counts in found.items():
        first, last = bucket * each + 1, min((bucket + 1) * each, backfill.total)
        said = ", ".join(f"{count} {(name or 'not begun').lower()}" for name, count in counts.items())
        yield Square(max(counts, key=WORST_LAST.index), f"{first} to {last}: {said}", f"from {first}")


def _drawn(placed: Sequence[Placed]) -> SafeString:
    width = LABEL + (max(each.column for each in placed) + 1) * PITCH
    height = (max(each.row for each in placed) + 1) * PITCH
    return format_html(
        '<svg class="cells" width="{}" height="{}" role="img" aria-label="{}">{}{}</svg>',
        width,
        height,
        "One square for each run",
        format_html_join(
            "",
            '<text x="0" y="{}">{}</text>',
            ((each.row * PITCH + SIDE - 2, each.label[:LABEL_CHARACTERS]) for each in placed if each.label),
        ),
        format_html_join("", "{}", ((_rect(each, each.square),) for each in placed if each.square)),
    )


def _rect(placed: Placed, square: Square) -> SafeString:
    rect = format_html(
        '<rect class="state-{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>',
        square.state_type.lower() or "none",
        LABEL + placed.column * PITCH,
        placed.row * PITCH,
        SIDE,
        SIDE,
        square.title,
    )
    return format_html('<a href="{}">{}</a>', square.url, rect) if square.url else rect
