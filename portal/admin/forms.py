"""Forms of the definitions: they refuse what the API would refuse, by the same checks."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from flows.catalog.deployments import ScheduleSpec
from flows.catalog.parameters import storage_errors, validate
from flows.models import Deployment, Schedule
from portal.admin.generic import AnyForm


class DeploymentForm(AnyForm):
    """The parts of a deployment that people change without deploying code."""

    class Meta:
        model = Deployment
        fields = ("description", "work_queue", "parameters", "tags", "paused", "hand_back")
        help_texts = {
            "parameters": "JSON. Defaults of its runs; those left out are the flow's own.",
            "tags": "Separated by commas.",
            "paused": "Its runs wait until it is resumed; schedules go on.",
        }
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2}),
            "parameters": forms.Textarea(attrs={"rows": 3, "class": "code"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        queue = self.fields.get("work_queue")  # absent for those who may only look
        if isinstance(queue, forms.ModelChoiceField) and queue.queryset is not None:
            own = queue.queryset.filter(work_pool__workspace=self.instance.workspace_id)
            queue.queryset = own.select_related("work_pool")

    def clean_parameters(self) -> dict[str, Any]:
        """They must fit the flow's schema, except that a run may still give the required ones."""
        given = self.cleaned_data["parameters"]
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise ValidationError("Write an object, for example {}.")
        schema = {**self.instance.parameter_openapi_schema}
        schema.pop("required", None)
        wrong = validate(schema, given)
        if wrong:
            raise ValidationError([f"{each.field}: {each.message}" for each in wrong])
        return given


class ScheduleForm(AnyForm):
    """A cron or an interval."""

    class Meta:
        model = Schedule
        fields = ("cron", "interval", "timezone", "parameters", "active")
        help_texts = {"cron": "0 6 * * 1-5", "interval": "hh:mm:ss"}
        widgets = {
            "cron": forms.TextInput(attrs={"size": 18, "placeholder": "0 6 * * 1-5"}),
            "interval": forms.TextInput(attrs={"size": 10, "placeholder": "00:05:00"}),
            "timezone": forms.TextInput(attrs={"size": 16}),
            "parameters": forms.TextInput(attrs={"size": 24, "class": "code"}),
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        parameters = given.get("parameters", {})
        if not isinstance(parameters, dict):
            raise ValidationError({"parameters": "Write an object, for example {}."})
        if not self.errors:
            self._check(given, parameters)
        return given

    def _check(self, given: dict[str, Any], parameters: dict[str, Any]) -> None:
        spec = ScheduleSpec(
            cron=given.get("cron") or "", interval=given.get("interval"), timezone=given["timezone"]
        )
        try:
            spec.check()
        except ValidationError as error:
            raise ValidationError(error.message_dict["schedules"]) from error
        wrong = storage_errors("parameters", parameters)
        if wrong:
            raise ValidationError({"parameters": [each.message for each in wrong]})
