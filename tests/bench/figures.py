"""What a benchmark measured, and how it is printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside what it should reach and what a peer needs."""

    name: str
    value: str
    goal: str = ""
    beside: str = ""


def milliseconds(name: str, seconds: Sequence[float], goal: str = "", beside: str = "") -> Figure:
    """Median, 95th percentile and worst of some durations."""
    worst = max(seconds)
    p95 = quantiles(seconds, n=20, method="inclusive")[18] if len(seconds) > 1 else worst
    value = f"p50 {median(seconds) * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms, max {worst * 1e3:.1f} ms"
    return Figure(f"{name} (n={len(seconds)})", value, goal, beside)


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned text."""
    rows = [("what", "measured", "goal", "beside"), *((f.name, f.value, f.goal, f.beside) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines)
