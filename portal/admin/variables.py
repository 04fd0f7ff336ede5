"""Variables: what people change without deploying."""

from typing import Any

from django import forms
from django.contrib.admin import display
from django.core.exceptions import ValidationError
from django.utils.safestring import SafeString

from flows.models import Variable
from flows.sdk.variables import check_variable
from portal.admin.generic import AnyForm
from portal.admin.looks import when
from portal.admin.scoped import ScopedAdmin


class VariableForm(AnyForm):
    """Refuses what `Variable.set` refuses."""

    class Meta:
        model = Variable
        fields = ("workspace", "name", "value", "tags")
        help_texts = {
            "value": 'JSON: "text", 3, true, null, a list or an object. At most 5,000 characters.',
            "tags": "Separated by commas.",
        }
        widgets = {"value": forms.Textarea(attrs={"rows": 4, "class": "code", "spellcheck": "false"})}

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            try:
                check_variable(given["name"], given["value"])
            except ValueError as error:
                raise ValidationError({"value": str(error)}) from error
        return given


class VariableAdmin(ScopedAdmin):
    """Name and value; flows read them at their next `Variable.get`."""

    form = VariableForm
    list_display = ("name", "shown_value", "tags", "updated_when")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("workspace", "name", "value", "tags")
    addable = deletable = True

    @display(description="value")
    def shown_value(self, variable: Variable) -> str:
        text = repr(variable.value) if isinstance(variable.value, str) else str(variable.value)
        return text if len(text) <= 80 else f"{text[:77]}..."

    @display(description="updated")
    def updated_when(self, variable: Variable) -> SafeString:
        return when(variable.updated)
