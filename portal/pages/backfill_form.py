"""The page that plans a backfill of a deployment, and makes it."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.dateparse import parse_date, parse_datetime

from agents.services.database import database_time
from flows.catalog.slots import SlotRule
from flows.models import Deployment, Membership, Schedule
from portal.access.actors import actor_of, has_role
from portal.values import values_of
from runs.backfills.plan import Plan, plan
from runs.backfills.steer import create_backfill
from runs.backfills.wish import BackfillError, Wish
from runs.models import Backfill
from runs.models.backfill import Which

PREFIX = "values-"
OWN_RULE = "cron"
MOST_CONCURRENCY = 10_000


class MomentField(forms.CharField):
    """A date, or a date and time."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            found = parse_date(text) or parse_datetime(text)
        except ValueError:
            found = None
        if found is None:
            raise forms.ValidationError("Write it as 2026-03-01 or 2026-03-01T06:00.")
        return found


class ValuesField(forms.CharField):
    """Values of one parameter, in turn."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return values_of(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(f"{error}.") from error


class BackfillForm(forms.Form):
    """Slots, values of parameters, and how the runs are made."""

    start = MomentField(label="from", required=False, help_text="The first slot. A date is the whole day.")
    end = MomentField(label="to", required=False, help_text="The last slot, which has passed.")
    rule = forms.ChoiceField(label="slots of", required=False)
    cron = forms.CharField(
        label="cron", required=False, max_length=200, help_text="For another rule: 0 6 * * 1-5"
    )
    timezone = forms.CharField(label="time zone", required=False, max_length=64, help_text="Of that rule.")
    slot_parameter = forms.ChoiceField(label="slot goes to", required=False)
    which = forms.ChoiceField(label="which", choices=Which.choices, initial=Which.ALL)
    concurrency = forms.IntegerField(
        label="runs at a time", min_value=1, max_value=MOST_CONCURRENCY, initial=5
    )
    newest_first = forms.BooleanField(label="newest first", required=False)

    def __init__(self, deployment: Deployment, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deployment = deployment
        self.schedules = {str(each.pk): each for each in deployment.schedules.order_by("created")}
        properties = deployment.parameter_openapi_schema.get("properties", {})
        self.names = sorted(properties, key=lambda name: properties[name].get("position", 0))
        self._offer(
            "rule", [*((pk, str(each)) for pk, each in self.schedules.items()), (OWN_RULE, "another rule")]
        )
        self._offer("slot_parameter", [("", "the flow's only date"), *((name, name) for name in self.names)])
        for name in self.names:
            self.fields[PREFIX + name] = ValuesField(label=name, required=False)

    def _offer(self, field: str, choices: list[tuple[str, str]]) -> None:
        chosen = self.fields[field]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = choices

    def about_slots(self) -> list[forms.BoundField]:
        return [self[name] for name in ("start", "end", "rule", "cron", "timezone", "slot_parameter")]

    def about_values(self) -> list[forms.BoundField]:
        return [self[PREFIX + name] for name in self.names]

    def about_runs(self) -> list[forms.BoundField]:
        return [self[name] for name in ("which", "concurrency", "newest_first")]

    def planned(self) -> Plan | None:
        """The plan; None, with errors beside the fields, if there is none. Valid forms only."""
        try:
            return plan(self._wish(), database_time())
        except BackfillError as error:
            self.refuse(error)
            return None

    def refuse(self, error: BackfillError) -> None:
        """Show what is wrong beside the fields that it is about."""
        for wrong in error.errors:
            name = wrong.field.removeprefix("grid.").split(".")[0]
            field = next((each for each in (name, PREFIX + name) if each in self.fields), None)
            field = "rule" if name == "schedule" else field
            text = f"{wrong.message[:1].upper()}{wrong.message[1:]}."
            self.add_error(field, text if field else f"{wrong.field}: {wrong.message}.")

    def _wish(self) -> Wish:
        given = self.cleaned_data
        return Wish(
            self.deployment,
            start=given["start"],
            end=given["end"],
            schedule=self._schedule(),
            rule=self._rule(),
            grid=dict(self._grid()),
            slot_parameter=given["slot_parameter"] or None,
            which=Which(given["which"]),
            concurrency=given["concurrency"],
            newest_first=given["newest_first"],
        )

    def _schedule(self) -> Schedule | None:
        return None if self.cleaned_data["cron"] else self.schedules.get(self.cleaned_data["rule"])

    def _rule(self) -> SlotRule | None:
        cron, zone = self.cleaned_data["cron"], self.cleaned_data["timezone"]
        return SlotRule(cron=cron, timezone=zone or "UTC") if cron else None

    def _grid(self) -> Iterator[tuple[str, list[Any]]]:
        for name in self.names:
            values = self.cleaned_data[PREFIX + name]
            if values is not None:
                yield name, values


def backfill_deployment(request: HttpRequest, deployment_id: UUID, site: AdminSite) -> HttpResponse:
    """Show the form; a POST shows the plan beside it, or makes it and goes to its page. For operators."""
    actor = actor_of(request)
    deployments = Deployment.objects.for_actor(actor).select_related("flow")
    deployment = get_object_or_404(deployments, pk=deployment_id)
    if not has_role(actor, Membership.Role.OPERATOR, deployment.workspace_id):
        raise PermissionDenied("You need the role 'operator' in this workspace to run a deployment.")
    form = BackfillForm(
        deployment, request.POST if request.method == "POST" else None, initial=request.GET.dict()
    )
    made = form.planned() if form.is_valid() else None
    if made is not None and "create" in request.POST:
        backfill = _created(form, made, dict(actor.as_json()))
        if backfill is not None:
            return redirect("admin:runs_backfill_change", backfill.pk)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": f"Backfill {deployment}",
        "deployment": deployment,
        "form": form,
        "plan": made,
        **(_ends(made) if made else {}),
    }
    return render(request, "portal/backfill_form.html", context)


def _ends(made: Plan) -> dict[str, Any]:
    """The first and the last cells with their numbers, and whether there are others between."""
    after = made.count - len(made.last)
    return {
        "first": list(enumerate(made.first, start=1)),
        "last": list(enumerate(made.last, start=after + 1)),
        "gap": after > len(made.first),
        "about": "" if made.is_whole else "about ",
    }


def _created(form: BackfillForm, made: Plan, actor: Mapping[str, Any]) -> Backfill | None:
    try:
        return create_backfill(made, actor)
    except BackfillError as error:
        form.refuse(error)
        return None
