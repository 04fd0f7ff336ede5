"""Checks the parameters of a run against the JSON Schema of its flow. Runs no user code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from flows.catalog.bounded_schema import BoundedValidator, bounded
from flows.catalog.json_text import json_text

MAX_BYTES = 512 * 1024
MAX_ERRORS = 20
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # not a backslash that is followed by "u0000"
_NO_FORMATS = FormatChecker(formats=())  # a pattern may be of the dialect of pydantic, not of Python
_OFFLINE: "Registry[Any]" = Registry()  # knows no document, so no "$ref" makes us fetch an address


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is a dotted path such as `limits.0.low`."""

    field: str
    message: str


def validate(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with `parameters` (empty: nothing). An empty schema allows everything."""
    unfit = storage_errors("parameters", parameters)
    if unfit or not schema:
        return unfit
    closed = {"additionalProperties": False, **schema} if "properties" in schema else schema
    try:
        with bounded():
            found = BoundedValidator(closed, registry=_OFFLINE).iter_errors(parameters)
            return [field for error in islice(found, MAX_ERRORS) for field in _as_field_errors(error)]
    except (Unresolvable, RecursionError, OverflowError, SchemaError, ValueError, TypeError) as error:
        return [FieldError("parameters", f"cannot be checked against the flow's schema: {error}")]


def storage_errors(field: str, value: Mapping[str, Any] | Sequence[Any]) -> list[FieldError]:
    """Why `value` cannot be stored as JSON: too large, NUL characters, or no JSON at all."""
    try:
        text = json_text(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return [FieldError(field, f"cannot be stored as JSON: {error}")]
    if _NUL.search(text):
        return [FieldError(field, "contains a NUL character (\\u0000), which PostgreSQL cannot store")]
    if len(text) > MAX_BYTES:
        return [FieldError(field, f"larger than {MAX_BYTES // 1024} KiB; pass a reference instead")]
    return []


def schema_errors(schema: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with a schema itself."""
    if unfit := storage_errors("parameter_openapi_schema", schema):
        return unfit
    try:
        Draft202012Validator.check_schema(schema, format_checker=_NO_FORMATS)
    except SchemaError as error:
        return [FieldError("parameter_openapi_schema", error.message[:300])]
    except RecursionError:
        return [FieldError("parameter_openapi_schema", "nested too deeply")]
    return []


def _as_field_errors(error: ValidationError) -> Iterator[FieldError]:
    path = ".".join(str(step) for step in error.absolute_path)
    if error.validator == "required":
        # jsonschema reports each missing name on its own, quoted: "'year' is a required property"
        missing = error.message.partition("'")[2].rpartition("'")[0]
        yield FieldError(f"{path}.{missing}".strip("."), "is required")
    elif error.validator == "additionalProperties":
        yield from _unknown(path, error)
    else:
        yield FieldError(path or "parameters", error.message[:300])


def _unknown(path: str, error: ValidationError) -> Iterator[FieldError]:
    schema: Any = error.schema
    instance: Any = error.instance
    known = schema.get("properties", {})
    for name in instance:
        if name not in known:
            there = ", ".join(known) or "none"
            yield FieldError(f"{path}.{name}".strip("."), f"there is no such parameter (there are: {there})")
