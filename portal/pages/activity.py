"""The runs that ended in each of the last hours, drawn on the server from their rollups."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from runs.models import RunStats

HOURS = 24
HEIGHT, WIDTH, PITCH = 64, 54, 58
LABEL = 14  # room for the hours below the bars
SHORTEST = 2.0
BAD = ("FAILED", "CRASHED")
UPWARDS = ("COMPLETED", "CANCELLED", *BAD)

Counts = Mapping[datetime, Counter[str]]


def activity(workspaces: Sequence[UUID], at: datetime) -> dict[str, Any]:
    """How many runs ended in the last 24 hours, how many of them badly, and the drawing. One query."""
    last = at.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    counts = _counts(workspaces, hours[0])
    total = sum((counts[hour] for hour in hours), Counter[str]())
    return {
        "runs": total.total(),
        "bad": sum(total[state] for state in BAD),
        "drawing": _drawing(hours, counts),
    }


def _counts(workspaces: Sequence[UUID], since: datetime) -> Counts:
    found: dict[datetime, Counter[str]] = defaultdict(Counter)
    rows = RunStats.objects.filter(workspace_id__in=workspaces, hour__gte=since)
    for hour, state, runs in rows.values_list("hour", "state_type").annotate(Sum("runs")).order_by():
        found[hour][state] = runs
    return found


def _drawing(hours: Sequence[datetime], counts: Counts) -> SafeString:
    most = max((counts[hour].total() for hour in hours), default=0) or 1
    columns = ((_column(hour, counts[hour], place * PITCH, most),) for place, hour in enumerate(hours))
    return format_html(
        '<svg class="activity" viewBox="0 0 {} {}" role="img" aria-label="Runs that ended, by hour">{}</svg>',
        len(hours) * PITCH,
        HEIGHT + LABEL,
        format_html_join("", "{}", columns),
    )


def _column(hour: datetime, states: Counter[str], x: int, most: int) -> SafeString:
    bars, bottom = [], float(HEIGHT)
    for state in UPWARDS:
        if states[state]:
            height = max(SHORTEST, HEIGHT * states[state] / most)
            bottom -= height
            bars.append((state.lower(), x, f"{max(0.0, bottom):.1f}", WIDTH, f"{height:.1f}"))
    told = ", ".join(f"{states[state]} {state.lower()}" for state in UPWARDS if states[state])
    return format_html(
        "<g><title>{} UTC: {}</title>"
        '<rect class="ground" x="{}" y="0" width="{}" height="{}" rx="2"/>{}{}</g>',
        f"{hour:%d %b %H:00}",
        told or "no run ended",
        x,
        WIDTH,
        HEIGHT,
        format_html_join("", '<rect class="state-{}" x="{}" y="{}" width="{}" height="{}"/>', bars),
        _label(hour, x),
    )


def _label(hour: datetime, x: int) -> SafeString:
    if hour.hour % 3:
        return SafeString("")
    return format_html(
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        x + WIDTH // 2,
        HEIGHT + LABEL - 2,
        f"{hour:%H}h",
    )
