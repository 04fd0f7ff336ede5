"""Forms of the definitions: they refuse what the API would refuse, by the same checks."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from agents.pools import is_for_prefect, same_side
from flows.catalog.parameters import validate
from flows.models import Deployment
from flows.models.deployment import KNOWN_TO_PREFECT
from portal.admin.generic import AnyForm


class DeploymentForm(AnyForm):
    """The parts of a deployment that people change without deploying code."""

    class Meta:
        model = Deployment
        fields = (
            "description",
            "work_queue",
            "parameters",
            "tags",
            "concurrency_limit",
            "collision_strategy",
            "paused",
            "hand_back",
        )
        help_texts = {
            "parameters": "JSON. Defaults of its runs; those left out are the flow's own.",
            "tags": "Separated by commas.",
            "paused": "Its runs wait, and its schedules make none, until it is resumed.",
        }
        widgets = {
            "description": forms.Textarea(attrs={"rows": 2}),
            "parameters": forms.Textarea(attrs={"rows": 3, "class": "code"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        strategy = self.fields.get("collision_strategy")
        if isinstance(strategy, forms.TypedChoiceField):
            strategy.required = False  # left out: it stays as it is
            if is_for_prefect(self.instance):
                strategy.choices = [(each.value, each.label) for each in KNOWN_TO_PREFECT]
        queue = self.fields.get("work_queue")  # absent for those who may only look
        if isinstance(queue, forms.ModelChoiceField) and queue.queryset is not None:
            own = queue.queryset.filter(work_pool__workspace=self.instance.workspace_id)
            queue.queryset = own.filter(same_side(self.instance)).select_related("work_pool")
            queue.required = not is_for_prefect(self.instance)
            queue.help_text = "" if queue.required else queue.help_text

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
