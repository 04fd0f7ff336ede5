"""A Django form for the parameters of a flow, made from its JSON Schema."""

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from django import forms

from flows.catalog.parameters import validate
from portal.admin import looks

PREFIX = "parameter-"
Schema = Mapping[str, Any]
BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "min. length",
    "maxLength": "max. length",
}


def fields_of(schema: Schema, defaults: Mapping[str, Any]) -> dict[str, forms.Field]:
    """One field for each parameter, by name; `defaults` (the deployment's) stand before the flow's."""
    required = set(schema.get("required", ()))
    fields = {}
    # PostgreSQL's jsonb does not keep the order of the signature; `position` does.
    declarations = schema.get("properties", {}).items()
    for name, declared in sorted(declarations, key=lambda each: each[1].get("position", 0)):
        part, nullable = resolved(declared, schema)
        initial = defaults.get(name, part.get("default"))
        needed = name in required and name not in defaults and not nullable
        fields[name] = _field(part, needed, initial)
        fields[name].label = name
    return fields


def resolved(part: Schema, schema: Schema) -> tuple[dict[str, Any], bool]:
    """The part with its `$ref` followed and `X | None` made X, and whether None is allowed."""
    found, nullable = dict(part), False
    for _ in range(8):  # a schema may refer to itself
        options = [each for each in found.get("anyOf", ()) if each.get("type") != "null"]
        if len(options) == 1:
            nullable = nullable or len(options) < len(found["anyOf"])
            found = {**options[0], **{key: found[key] for key in ("title", "default") if key in found}}
        elif "allOf" in found and len(found["allOf"]) == 1:
            found = {**found.pop("allOf")[0], **found}
        elif "$ref" in found:
            shared = {**schema.get("$defs", {}), **schema.get("definitions", {})}
            target = shared.get(found.pop("$ref").rpartition("/")[2], {})
            found = {**target, **found}
        else:
            break
    return found, nullable


def _field(part: Schema, needed: bool, initial: Any) -> forms.Field:
    kind = part.get("type")
    common: dict[str, Any] = {"required": needed, "help_text": _hint(part)}
    if "enum" in part:
        return _choice(part["enum"], common, initial)
    if kind == "boolean":
        return forms.BooleanField(required=False, help_text=common["help_text"], initial=bool(initial))
    if kind == "integer":
        low, high = part.get("minimum"), part.get("maximum")
        return forms.IntegerField(min_value=low, max_value=high, initial=initial, **common)
    if kind == "number":
        low, high = part.get("minimum"), part.get("maximum")
        widget = forms.NumberInput(attrs={"step": "any"})
        return forms.FloatField(min_value=low, max_value=high, initial=initial, widget=widget, **common)
    if kind == "string":
        return _text(part, common, initial)
    rows = {"rows": 3, "class": "code", "spellcheck": "false"}
    return forms.JSONField(initial=initial, widget=forms.Textarea(attrs=rows), **common)


def _text(part: Schema, common: dict[str, Any], initial: Any) -> forms.Field:
    form = part.get("format")
    if form == "date":
        widget = forms.DateInput(attrs={"type": "date"})
        return forms.DateField(initial=initial, widget=widget, **common)
    if form == "date-time":
        return forms.DateTimeField(initial=initial, **common)
    low, high = part.get("minLength"), part.get("maxLength")
    return forms.CharField(min_length=low, max_length=high, initial=initial, strip=False, **common)


def _choice(options: list[Any], common: dict[str, Any], initial: Any) -> forms.Field:
    """The values travel as JSON, so that 1 and "1" stay apart."""
    texts = [(json.dumps(option), str(option)) for option in options]
    nothing = [] if common["required"] else [("", looks.NOTHING)]
    return forms.TypedChoiceField(
        choices=nothing + texts,
        coerce=json.loads,
        empty_value=None,
        initial=json.dumps(initial) if initial is not None else "",
        **common,
    )


def _hint(part: Schema) -> str:
    """The type and its bounds, in words."""
    words = [str(part.get("format") or part.get("type") or "JSON")]
    words += [f"{text} {part[name]}" for name, text in BOUNDS.items() if name in part]
    if part.get("type") in ("array", "object"):
        words.append("as JSON")
    return ", ".join([*words, *filter(None, [part.get("description")])])


def as_json(value: Any) -> Any:
    """A cleaned value as JSON has it."""
    return value.isoformat() if isinstance(value, date | datetime | time) else value


class ParameterForm(forms.Form):
    """Parameters of one run, checked by the form's fields and then by the schema, as the API does."""

    def __init__(self, schema: Schema, defaults: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schema, self.defaults = schema, defaults
        self.names = fields_of(schema, defaults)
        self.fields.update({PREFIX + name: field for name, field in self.names.items()})

    def parameters(self) -> dict[str, Any]:
        """What was given. An optional field left empty is left to the defaults; valid forms only."""
        return dict(self._given())

    def parameter_fields(self) -> list[forms.BoundField]:
        """The fields in the order of the function's signature."""
        return [self[PREFIX + name] for name in self.names]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            for wrong in validate(self.schema, {**self.defaults, **self.parameters()}):
                name = PREFIX + wrong.field.split(".")[0]
                self.add_error(name if name in self.fields else None, f"{wrong.field}: {wrong.message}")
        return cleaned

    def _given(self) -> Iterator[tuple[str, Any]]:
        for name, field in self.names.items():
            value = self.cleaned_data[PREFIX + name]
            if isinstance(field, forms.BooleanField) or value not in (None, ""):
                yield name, as_json(value)
