"""Calendars: the days that count, holidays, and blackout windows."""

from datetime import UTC, date, datetime
from typing import Any

from django import forms
from django.contrib.admin import display
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from flows.catalog.calendars import DAYS, check_calendar
from flows.catalog.clocks import ScheduleError
from flows.models import Calendar
from flows.models.calendar import every_day
from portal.admin.generic import AnyForm
from portal.admin.scoped import ScopedAdmin

EXAMPLE = '[{"from": "22:00", "to": "04:00", "weekdays": [5], "reason": "backup"}]'


class DatesField(forms.CharField):
    """Dates, one a line."""

    widget = forms.Textarea(attrs={"rows": 6, "cols": 14, "class": "code"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        words = str(value or "").replace(",", " ").split()
        try:
            return sorted({date.fromisoformat(word) for word in words})
        except ValueError as error:
            raise ValidationError(f"Write dates as 2026-12-25, one a line ({error}).") from error


class CalendarForm(AnyForm):
    """Refuses what the API refuses."""

    weekdays = forms.TypedMultipleChoiceField(
        label="Days that count", coerce=int, choices=list(enumerate(DAYS, 1)), initial=every_day,
        widget=forms.CheckboxSelectMultiple, help_text="On all others nothing runs.",
    )  # fmt: skip
    holidays = DatesField(required=False, help_text="Dates on which nothing runs, one a line.")

    class Meta:
        model = Calendar
        fields = ("workspace", "name", "timezone", "weekdays", "holidays", "blackouts")
        help_texts = {
            "timezone": "On whose clock days and windows are read.",
            "blackouts": f"JSON. On some weekdays: {EXAMPLE} "
            'Once: [{"from": "2026-12-24T18:00", "to": "2026-12-27T06:00"}]',
        }
        widgets = {
            "blackouts": forms.Textarea(attrs={"rows": 6, "cols": 70, "class": "code", "spellcheck": "false"})
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            given["blackouts"] = given["blackouts"] or []
            wanted = Calendar(**{name: given[name] for name in _CHECKED})
            try:
                check_calendar(wanted, datetime.now(UTC))
            except ScheduleError as error:
                raise ValidationError(str(error)) from error
        return given


_CHECKED = ("timezone", "weekdays", "holidays", "blackouts")


class CalendarAdmin(ScopedAdmin):
    """Schedules refer to them; a change takes effect at once."""

    form = CalendarForm
    list_display = ("name", "timezone", "counting", "closed", "used")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("workspace", "name", "timezone", "weekdays", "holidays", "blackouts")
    empty_text = "No calendars yet. One says on which days, and outside which windows, schedules run."
    addable = deletable = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("schedules")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One that schedules refer to stays."""
        used = obj is not None and obj.schedules.exists()
        return super().has_delete_permission(request, obj) and not used

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("workspace", "name") if obj else ()

    @display(description="days that count")
    def counting(self, calendar: Calendar) -> str:
        return ", ".join(DAYS[day - 1][:3] for day in sorted(calendar.weekdays))

    @display(description="closed on")
    def closed(self, calendar: Calendar) -> str:
        return f"{len(calendar.holidays)} holidays, {len(calendar.blackouts)} windows"

    @display(description="schedules")
    def used(self, calendar: Calendar) -> int:
        return len(calendar.schedules.all())
