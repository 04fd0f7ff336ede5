"""JSON Schema in bounded time: whoever deploys a schema, or sends parameters, cannot keep the server busy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema

from flows.catalog.json_text import json_text

# As many as one array of 512 KiB may need; they take a second or two.
MOST_STEPS = 300_000
_left: ContextVar[int] = ContextVar("_left")

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class TooMuchWorkError(ValueError):
    """A schema that refers to itself again and again, or so many alternatives for so many values."""

    def __init__(self) -> None:
        super().__init__(f"it takes more than {MOST_STEPS:,} steps")


@contextmanager
def bounded() -> Iterator[None]:
    """What is validated within takes at most `MOST_STEPS` keywords, or raises TooMuchWorkError."""
    token = _left.set(MOST_STEPS)
    try:
        yield
    finally:
        _left.reset(token)


def _counted(keyword: Keyword) -> Keyword:
    def step(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError] | None:
        left = _left.get(MOST_STEPS)
        if left == 0:
            raise TooMuchWorkError
        _left.set(left - 1)
        return keyword(validator, wanted, instance, schema)

    return step


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> SchemaValidator | None:
    """pydantic's own regular expressions, which never look back; None for those of another dialect."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except (SchemaError, TypeError):
        return None


def _matches(pattern: str, text: str) -> bool:
    """What cannot be read here matches: it is left to the flow, which knows its dialect."""
    compiled = _compiled(pattern)
    return compiled is None or compiled.isinstance_python(text)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, below in wanted.items():
        for name, value in instance.items():
            if _compiled(pattern) is not None and _matches(pattern, name):
                yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """As JSON Schema says, of the names that no pattern matches."""
    patterns = schema.get("patternProperties", {})
    rest = instance
    if patterns and validator.is_type(instance, "object"):
        rest = {k: v for k, v in instance.items() if not any(_matches(each, k) for each in patterns)}
    bare = {name: value for name, value in schema.items() if name != "patternProperties"}
    yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, wanted, rest, bare)


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Compares texts: jsonschema compares each with each, where they cannot be sorted."""
    if not wanted or not validator.is_type(instance, "array"):
        return
    if len({json_text(each, orjson.OPT_SORT_KEYS) for each in instance}) < len(instance):
        yield ValidationError("has the same value twice")


def _left_to_the_flow(validator: Any, wanted: Any, instance: Any, schema: Any) -> None:
    """Tries patterns of its own."""


_OURS: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "unevaluatedProperties": _left_to_the_flow,
}
KEYWORDS = {name: _counted(each) for name, each in {**Draft202012Validator.VALIDATORS, **_OURS}.items()}
BoundedValidator = extend(Draft202012Validator, KEYWORDS)
