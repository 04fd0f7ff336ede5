"""Small pieces of HTML that several pages share: badges, times, durations."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import now

NOTHING = "\N{EN DASH}"
HEAD_LENGTH = 160
OPENING = "Flow run encountered an exception: "
GLYPHS = {
    "SCHEDULED": "◷",
    "PENDING": "…",
    "RUNNING": "▶",
    "PAUSED": "‖",
    "CANCELLING": "⊘",
    "CANCELLED": "⊘",
    "COMPLETED": "✓",
    "FAILED": "✗",
    "CRASHED": "☠",
}


def badge(state_type: str, state_name: str) -> SafeString:
    """A state as colour, glyph and word: never as colour alone."""
    return format_html(
        '<span class="badge state-{}"><span class="glyph" aria-hidden="true">{}</span>{}</span>',
        state_type.lower(),
        GLYPHS.get(state_type, "?"),
        state_name,
    )


def tags_of(tags: Sequence[str]) -> SafeString:
    """The first five tags. One that is too long for its place is whole in its title."""
    return format_html_join(" ", '<span class="tag" title="{}">{}</span>', ((tag, tag) for tag in tags[:5]))


def span(seconds: float) -> str:
    """A length of time in its two largest units: `840ms`, `4.6s`, `3m 12s`, `2h 5m`, `3d 4h`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def relative(moment: datetime, at: datetime | None = None) -> str:
    """`12s ago`, `in 3m`: one unit, as seen at `at` (None: now)."""
    distance = moment - (at or now())
    ahead = distance > timedelta(0)
    seconds = abs(distance).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= size:
            text = f"{int(seconds // size)}{unit}"
            return f"in {text}" if ahead else f"{text} ago"
    return "now"


def when(moment: datetime | None) -> SafeString:
    """A time: relative, with the absolute one (UTC) when the pointer rests on it."""
    if moment is None:
        return format_html('<span class="quiet">{}</span>', NOTHING)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        relative(moment),
    )


def head_line(message: str) -> str:
    """The first line of a state's message, without the words that every failure begins with."""
    first = message.strip().partition("\n")[0].removeprefix(OPENING)
    return first if len(first) <= HEAD_LENGTH else f"{first[: HEAD_LENGTH - 1]}…"
