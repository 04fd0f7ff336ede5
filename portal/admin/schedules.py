"""Schedules: when deployments are due, with a look at what they will do."""

from typing import Any

from django import forms
from django.contrib.admin import display
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from agents.services.database import database_time
from flows.catalog.clocks import ScheduleError
from flows.catalog.occurrences import plan_of
from flows.catalog.preview import merged, preview
from flows.catalog.schedules import ScheduleSpec, UnfitParametersError
from flows.catalog.slots import SlotRule
from flows.models import Calendar, Deployment, Schedule
from portal.access.actors import actor_of
from portal.admin.agents import lamp
from portal.admin.generic import AnyForm
from portal.admin.scoped import ScopedAdmin

RULES = ("cron", "rrule", "interval")


class ScheduleForm(AnyForm):
    """One rule, its time zone, and what else decides when runs are made."""

    class Meta:
        model = Schedule
        fields = (
            "deployment", "slug", "cron", "day_or", "rrule", "interval", "anchor_date", "timezone",
            "calendar", "calendar_policy", "parameters", "active", "missed_runs", "missed_within_seconds",
            "missed_at_most",
        )  # fmt: skip
        labels = {"rrule": "RRule", "anchor_date": "From", "missed_within_seconds": "Missed within"}
        help_texts = {
            "cron": "Five fields: minute, hour, day, month, weekday. Or @daily, @hourly, ...",
            "rrule": "FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=6. Lines with DTSTART and EXDATE may stand beside it.",
            "interval": "hh:mm:ss, or days as 7 00:00:00.",
            "anchor_date": "What intervals are counted from, in UTC.",
            "timezone": "A name such as Europe/Berlin, on whose clock cron and rrule are read.",
            "parameters": "JSON. They override those of the deployment.",
            "missed_within_seconds": "Seconds. Only what was missed less than this ago. Empty: however long.",
        }
        widgets = {
            "cron": forms.TextInput(attrs={"size": 24, "class": "code", "placeholder": "0 6 * * 1-5"}),
            "rrule": forms.Textarea(attrs={"rows": 2, "cols": 60, "class": "code"}),
            "interval": forms.TextInput(attrs={"size": 12, "class": "code", "placeholder": "00:05:00"}),
            "timezone": forms.TextInput(attrs={"size": 24}),
            "parameters": forms.Textarea(attrs={"rows": 2, "cols": 60, "class": "code"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        calendars = self.fields.get("calendar")  # absent for those who may only look
        deployment = Deployment.objects.filter(pk=self.instance.deployment_id).first()
        if deployment and isinstance(calendars, forms.ModelChoiceField) and calendars.queryset is not None:
            calendars.queryset = calendars.queryset.filter(workspace=deployment.workspace_id)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not isinstance(given.get("parameters", {}), dict):
            raise ValidationError({"parameters": "Write an object, for example {}."})
        if not self.errors:
            self._check(given)
        return given

    def _check(self, given: dict[str, Any]) -> None:
        deployment = given.get("deployment") or self.instance.deployment
        if given["calendar"] and given["calendar"].workspace_id != deployment.workspace_id:
            raise ValidationError({"calendar": "This calendar belongs to another workspace."})
        try:
            spec_from(given).check(deployment)
        except ScheduleError as error:
            of_rule = next((name for name in RULES if given.get(name)), "cron")
            field = "parameters" if isinstance(error, UnfitParametersError) else of_rule
            raise ValidationError({field: str(error)}) from error


def spec_from(given: dict[str, Any]) -> ScheduleSpec:
    """The schedule that a form describes."""
    calendar: Calendar | None = given["calendar"]
    rule = SlotRule(
        cron=given["cron"],
        interval=given["interval"],
        anchor=given["anchor_date"],
        timezone=given["timezone"],
        rrule=given["rrule"],
        day_or=given["day_or"],
    )
    return ScheduleSpec(
        rule=rule,
        slug=given["slug"],
        parameters=given["parameters"],
        missed_runs=given["missed_runs"],
        missed_within_seconds=given["missed_within_seconds"],
        missed_at_most=given["missed_at_most"],
        calendar=calendar.name if calendar else "",
        calendar_policy=given["calendar_policy"],
    )


class ScheduleAdmin(ScopedAdmin):
    """A page for each, beside which the next 20 slots stand."""

    change_form_template = "portal/schedule.html"
    form = ScheduleForm
    list_display = ("deployment", "rule", "state", "calendar", "missed_runs")
    list_display_links = ("rule",)
    list_select_related = ("deployment__flow", "calendar")
    search_fields = ("slug", "deployment__name", "deployment__flow__name")
    ordering = ("deployment__flow__name", "deployment__name", "id")
    empty_text = "No schedules yet. Add one on the page of a deployment."
    addable = deletable = True
    fieldsets = (
        ("When", {"fields": ("deployment", "slug", "active", "cron", "day_or", "rrule", "interval",
                             "anchor_date", "timezone")}),
        ("Calendar", {"fields": ("calendar", "calendar_policy")}),
        ("Runs", {"fields": ("parameters", "missed_runs", "missed_within_seconds", "missed_at_most")}),
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        ahead = path("preview/", self.admin_site.admin_view(self.preview_view), name="flows_schedule_preview")
        return [ahead, *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A schedule stays with its deployment."""
        return ("deployment",) if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        found = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "deployment":
            writable = found.queryset.filter(workspace__in=self.writable_workspaces(request))
            found.queryset = writable.select_related("flow")
        return found

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Without the small icons that would change other objects in windows of their own."""
        found = super().formfield_for_dbfield(db_field, request, **kwargs)
        return plain(found)

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What the schedule in the form would do: a piece of HTML for the page that asks."""
        deployments = Deployment.objects.for_actor(actor_of(request)).select_related("workspace")
        deployment = get_object_or_404(deployments, pk=_uuid_or_none(request.POST.get("deployment")))
        form = self.get_form(request)(request.POST, instance=Schedule(deployment=deployment))
        form.fields.pop("deployment", None)
        if not form.is_valid():
            texts = [str(text) for texts in form.errors.values() for text in texts]
            return render(request, "portal/schedule_preview.html", {"problems": texts})
        plan = spec_from(form.cleaned_data).plan(deployment.workspace)
        return render(request, "portal/schedule_preview.html", {"coming": preview(plan, database_time())})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        schedule = self.get_object(request, object_id)
        context = ahead_of([schedule]) if schedule else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @display(description="schedule")
    def rule(self, schedule: Schedule) -> str:
        return str(schedule)

    @display(description="state")
    def state(self, schedule: Schedule) -> SafeString:
        return lamp(schedule.active, "active", "off")


def ahead_of(schedules: list[Schedule]) -> dict[str, Any]:
    """For a template: the next slots of these, or why they cannot be told."""
    now = database_time()
    try:
        return {"coming": merged([preview(plan_of(each), now) for each in schedules])}
    except ScheduleError as error:
        return {"problems": [str(error)]}


def shown(deployment: Deployment) -> dict[str, Any]:
    """The schedules of a deployment, for its page."""
    schedules = list(deployment.schedules.select_related("calendar").order_by("id"))
    lines = [
        {
            "url": reverse("admin:flows_schedule_change", args=[each.pk]),
            "schedule": each,
            "lamp": lamp(each.active, "active", "off"),
        }
        for each in schedules
    ]
    return {"schedules": lines, **ahead_of([each for each in schedules if each.active])}


def plain(field: Any) -> Any:
    """A choice of objects without the admin's icons beside it."""
    if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
        field.widget = field.widget.widget
    return field


def _uuid_or_none(text: str | None) -> Any:
    try:
        return forms.UUIDField().clean(text)
    except ValidationError:
        return None
