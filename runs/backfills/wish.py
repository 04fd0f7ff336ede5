"""What somebody wants of a backfill, and what is wrong with it. Nothing is written here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flows.catalog.clocks import ScheduleError
from flows.catalog.parameters import FieldError, validate
from flows.catalog.slots import SlotRule, rule_of
from flows.catalog.slots import validate as validate_rule
from flows.models import Deployment, Schedule
from flows.models.schedule import CalendarPolicy
from runs.models.backfill import Which

MOST_ERRORS = 20
MOST_NAMED = 5  # schedules to choose from
SMALLEST_STEP = timedelta(microseconds=1)
LEAST_PRIORITY, MOST_PRIORITY = -32768, 32767


class BackfillError(ValueError):
    """A backfill that cannot be. `errors` say what is wrong, field by field."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in errors))
        self.errors = errors


def refuse(field: str, message: str) -> BackfillError:
    return BackfillError(FieldError(field, message))


@dataclass(frozen=True, slots=True)
class Wish:
    """Which runs of `deployment` are wanted: one for each slot, each point of the grid, or each pair of both.

    start, end: both included; a date means the whole day, and what has no time zone is in the rule's.
    schedule: whose slots; None: those of `rule`, else of the deployment's only schedule.
    grid: lists of values by parameter. parameters: what all runs have in common.
    slot_parameter: which parameter gets the slot; None: the flow's only one for a date or time; "": none.
    concurrency: how many runs may be under way at once. priority: below 0 lets ordinary runs go first.
    """

    deployment: Deployment
    start: date | datetime | None = None
    end: date | datetime | None = None
    schedule: Schedule | None = None
    rule: SlotRule | None = None
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    slot_parameter: str | None = None
    which: Which = Which.ALL
    newest_first: bool = False
    concurrency: int = 5
    priority: int = -1
    tags: Iterable[str] = ()

    @property
    def has_slots(self) -> bool:
        return self.start is not None or self.end is not None

    def common(self) -> dict[str, Any]:
        """The parameters that all runs have beside the deployment's own."""
        of_schedule = self.schedule.parameters if self.schedule and self.has_slots else {}
        return {**of_schedule, **self.parameters}


def completed(wish: Wish) -> Wish:
    """The wish with the schedule and the slot parameter that go without saying. Raises BackfillError."""
    if not wish.has_slots:
        return replace(wish, schedule=None, rule=None, slot_parameter="")
    if wish.schedule is None and wish.rule is None:
        wish = replace(wish, schedule=_only_schedule(wish.deployment))
    if wish.slot_parameter is None:
        wish = replace(wish, slot_parameter=_only_moment(wish.deployment.parameter_openapi_schema, wish))
    return wish


def _only_schedule(deployment: Deployment) -> Schedule:
    found: list[Schedule] = list(deployment.schedules.order_by("created")[:MOST_NAMED])
    if len(found) == 1:
        return found[0]
    if not found:
        raise refuse("schedule", "the deployment has none: say by cron or interval which slots are meant")
    named = "; ".join(f"{each.id} ({each})" for each in found)
    raise refuse("schedule", f"the deployment has several: say by its id which one is meant: {named}")


def _only_moment(schema: Mapping[str, Any], wish: Wish) -> str:
    moments = [
        name
        for name in schema.get("properties", {})
        if format_of(schema, name) and name not in wish.grid and name not in wish.parameters
    ]
    return moments[0] if len(moments) == 1 else ""


def format_of(schema: Mapping[str, Any], name: str) -> str:
    """`date` or `date-time`, for a parameter that takes one; else empty."""
    part = schema.get("properties", {}).get(name, {})
    options = [part, *part.get("anyOf", ())] if isinstance(part, dict) else []
    formats = [each.get("format") for each in options if isinstance(each, dict)]
    return next((each for each in formats if each in ("date", "date-time")), "")


def rule_of_wish(wish: Wish) -> SlotRule:
    """Raises BackfillError for a rule that cannot be read."""
    rule = rule_of(wish.schedule) if wish.schedule else wish.rule
    if rule is None:
        raise refuse("schedule", "say which slots are meant")
    try:
        validate_rule(rule)
    except ScheduleError as error:
        raise refuse("schedule", str(error)) from error
    return rule


def bounds(wish: Wish, rule: SlotRule, now: datetime) -> tuple[datetime, datetime]:
    """The first and last instant, in UTC; the last is `now` at the latest. Raises BackfillError."""
    if wish.start is None or wish.end is None:
        missing = "start" if wish.start is None else "end"
        raise refuse(missing, "a range of slots has a start and an end")
    zone = ZoneInfo(rule.timezone)
    start, end = _instant(wish.start, zone), min(_instant(wish.end, zone, at_end=True), now)
    if start > now:
        raise refuse("start", f"lies ahead of now ({now:%Y-%m-%d %H:%M} UTC): slots must have passed")
    if end < start:
        raise refuse("end", "is before the start")
    return start, end


def _instant(given: date | datetime, zone: ZoneInfo, *, at_end: bool = False) -> datetime:
    """A date is its first moment, or at the end its last one."""
    try:
        if isinstance(given, datetime):
            return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
        day = given + timedelta(days=1) if at_end else given
        moment = datetime.combine(day, time(), zone).astimezone(UTC)
        return moment - SMALLEST_STEP if at_end else moment
    except OverflowError as error:
        raise refuse("end" if at_end else "start", "is beyond what a calendar holds") from error


def calendar_of(wish: Wish) -> tuple[UUID | None, bool]:
    """The id of the schedule's calendar, and whether it moves slots. A rule of one's own has none."""
    if wish.schedule is None:
        return None, False
    return wish.schedule.calendar_id, wish.schedule.calendar_policy == CalendarPolicy.MOVE


def check(wish: Wish) -> None:
    """Raises BackfillError unless the wish makes sense; not yet whether the flow takes its parameters."""
    if not wish.has_slots and not wish.grid:
        raise refuse("start", "say for which slots (start and end) or for which parameters (grid)")
    if wish.concurrency < 1:
        raise refuse("concurrency", "must be at least 1")
    if not LEAST_PRIORITY <= wish.priority <= MOST_PRIORITY:
        raise refuse("priority", f"must be from {LEAST_PRIORITY} to {MOST_PRIORITY}")
    for name, values in wish.grid.items():
        if not values:
            raise refuse(f"grid.{name}", "has no values")
        if name in wish.parameters or name == wish.slot_parameter:
            raise refuse(f"grid.{name}", "is given twice")


def check_parameters(wish: Wish, first: Mapping[str, Any]) -> None:
    """Raises BackfillError unless the flow takes the parameters of the `first` cell and all of the grid's.

    Not each cell is looked at: no flow's schema makes one parameter depend on another.
    """
    schema = wish.deployment.parameter_openapi_schema
    wrong = validate(schema, {**wish.deployment.parameters, **wish.common(), **first})
    if not wrong:
        optional = {name: part for name, part in schema.items() if name != "required"}
        others = ((name, value) for name, values in wish.grid.items() for value in values[1:])
        wrong = [each for name, value in others for each in validate(optional, {name: value})]
    if wrong:
        raise BackfillError(*wrong[:MOST_ERRORS])
