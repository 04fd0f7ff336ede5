"""JSON in forms: what the API would refuse is refused here, too."""

from io import BytesIO
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from rest_framework.exceptions import APIException

from portal.api.base.parsers import StrictJSONParser


class StrictJSONField(forms.JSONField):
    """Refuses great depth, numbers that are none, and text that PostgreSQL cannot store."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                StrictJSONParser().parse(BytesIO(value.encode("utf-8", "replace")))
            except APIException as error:
                raise ValidationError(str(error.detail)) from error
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What is shown again, with its error."""
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)
