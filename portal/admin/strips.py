"""The strip of a deployment's last runs: one bar a run, drawn on the server as SVG."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal.admin.looks import span

HEIGHT = 22
PITCH = 6
SHORTEST = 4

# A range of one index per deployment, however many runs there are.
LAST_RUNS = """
SELECT d.id, r.id, r.name, r.state_type, r.state_name,
       coalesce(extract(epoch FROM coalesce(r.end_time, now()) - r.start_time), 0)::float
FROM unnest(%s::uuid[]) AS d(id)
CROSS JOIN LATERAL (
    SELECT * FROM runs_flowrun
    WHERE deployment_id = d.id AND state_type NOT IN ('SCHEDULED', 'PENDING')
    ORDER BY created DESC LIMIT %s
) AS r
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A run as a strip draws it; `seconds` is how long it ran."""

    id: UUID
    name: str
    state_type: str
    state_name: str
    seconds: float


def recent_runs(deployment_ids: Sequence[UUID], count: int = 20) -> dict[UUID, list[Bar]]:
    """The last runs that began, oldest first, of each of these deployments. One query.

    The caller has checked that the user may see the deployments.
    """
    found: dict[UUID, list[Bar]] = defaultdict(list)
    if deployment_ids:
        with connection.cursor() as cursor:
            cursor.execute(LAST_RUNS, [list(deployment_ids), count])
            for deployment_id, *bar in cursor.fetchall():
                found[deployment_id].insert(0, Bar(*bar))
    return found


def bars(runs: Sequence[Bar]) -> SafeString:
    """The runs as bars: colour is the state, height the duration, a title says both."""
    if not runs:
        return format_html('<span class="quiet">{}</span>', "none began yet")
    longest = max(run.seconds for run in runs) or 1.0
    drawn = format_html_join("", "{}", ((_bar(run, place, longest),) for place, run in enumerate(runs)))
    return format_html(
        '<svg class="strip" width="{}" height="{}" role="img" aria-label="last {} runs">{}</svg>',
        len(runs) * PITCH,
        HEIGHT,
        len(runs),
        drawn,
    )


def _bar(run: Bar, place: int, longest: float) -> SafeString:
    height = max(SHORTEST, round(HEIGHT * run.seconds / longest))
    return format_html(
        '<a href="{}"><rect class="state-{}" x="{}" y="{}" width="{}" height="{}" rx="1">'
        "<title>{}: {}, {}</title></rect></a>",
        reverse("admin:runs_flowrun_change", args=[run.id]),
        run.state_type.lower(),
        place * PITCH,
        HEIGHT - height,
        PITCH - 2,
        height,
        run.name,
        run.state_name,
        span(run.seconds),
    )
