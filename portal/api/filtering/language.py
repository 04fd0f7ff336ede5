"""The filter language of Prefect's clients, shared by all `/filter` and `/count` routes.

    {"operator": "or_", "name": {"like_": "etl"}, "state": {"type": {"any_": ["FAILED"]}}}

A resource names its fields once, in a `Fields` mapping; `condition` makes a Q of what a client sent.
Null means absent, unknown fields are ignored, and what cannot be understood is a 422 that names the place.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from rest_framework import serializers

from flows.catalog.parameters import FieldError
from portal.api.base.errors import InvalidInput

MOST_VALUES = 10_000
MOST_BEGINNINGS = 100  # of which each is compared with each row
MOST_NUMBER = 1_000_000_000

Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A column that can be filtered: its path from the listed model, and how one value is read.

    `is_list`: the column is an array, such as tags. `read` raises ValueError.
    """

    path: str
    read: Reader
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Related:
    """A switch: whether something of another model belongs to the row; `rows` finds it by OuterRef("pk")."""

    rows: Callable[[], QuerySet[Any]]
    operator: str


Fields = Mapping[str, "Field | Related | Fields"]


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def as_id(value: Any) -> UUID:
    try:
        return UUID(as_text(value))
    except ValueError:
        raise ValueError("must be a UUID") from None


def as_number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MOST_NUMBER:
        raise ValueError("must be a whole number")
    return value


def as_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def as_time(value: Any) -> datetime:
    try:
        return cast(datetime, serializers.DateTimeField().run_validation(value))
    except serializers.ValidationError:
        raise ValueError("must be an ISO 8601 time") from None


def one_of(choices: type[Any]) -> Reader:
    """A value of a TextChoices."""
    allowed = set(choices.values)

    def read(value: Any) -> str:
        if as_text(value) not in allowed:
            raise ValueError(f"must be one of {', '.join(sorted(allowed))}")
        return str(value)

    return read


def ids(path: str) -> Field:
    return Field(path, as_id)


def texts(path: str) -> Field:
    return Field(path, as_text)


def times(path: str) -> Field:
    return Field(path, as_time)


def tags(path: str) -> Field:
    return Field(path, as_text, is_list=True)


def through(prefix: str, fields: Fields) -> Fields:
    """The same fields of a model that is reached by a foreign key: `through("flow__", FLOW_FIELDS)`.

    What belongs to that other model (`Related`) is left out.
    """
    found: dict[str, Field | Fields] = {}
    for name, field in fields.items():
        if isinstance(field, Field):
            found[name] = Field(prefix + field.path, field.read, field.is_list)
        elif isinstance(field, Mapping):
            found[name] = through(prefix, field)
    return found


def exists(rows: QuerySet[Any], path: str) -> Q:
    """Whether one of `rows` refers by `path` to the listed row."""
    return Q(Exists(rows.filter(**{path: OuterRef("pk")})))


def condition(sent: Any, fields: Fields, where: str) -> Q:
    """What a client sent under `where`, as a condition; an empty one if it says nothing.

    Raises InvalidInput.
    """
    parts = list(_parts(as_object(sent, where), fields, where))
    return _joined(parts, as_object(sent, where), where)


def _parts(sent: Mapping[str, Any], fields: Fields, where: str) -> Iterator[Q]:
    for name, value in sent.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        below = f"{where}.{name}"
        if isinstance(field, Field):
            yield _of_column(field, as_object(value, below), below)
        elif isinstance(field, Related):
            yield _of_related(field, as_object(value, below), below)
        else:
            yield condition(value, field, below)


def _of_column(field: Field, sent: Mapping[str, Any], where: str) -> Q:
    parts = []
    for operator, value in sent.items():
        make = OPERATORS.get(operator)
        if make is not None and value is not None:
            with _naming(f"{where}.{operator}"):
                parts.append(make(field, value))
    return _joined(parts, sent, where)


def _of_related(field: Related, sent: Mapping[str, Any], where: str) -> Q:
    value = sent.get(field.operator)
    if value is None:
        return Q()
    with _naming(f"{where}.{field.operator}"):
        wanted = as_switch(value)
    there = Q(Exists(field.rows()))
    return ~there if wanted == (field.operator == "is_null_") else there


def _joined(parts: list[Q], sent: Mapping[str, Any], where: str) -> Q:
    operator = sent.get("operator") or "and_"
    if operator not in ("and_", "or_"):  # no set: it may be a list
        raise InvalidInput([FieldError(f"{where}.operator", "must be and_ or or_")])
    joined = Q()
    for part in filter(None, parts):
        joined = joined | part if operator == "or_" else joined & part
    return joined


def _values(field: Field, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("must be a list")
    if len(value) > MOST_VALUES:
        raise ValueError(f"must have at most {MOST_VALUES} values")
    return [field.read(each) for each in value]


def _any(field: Field, value: Any) -> Q:
    return Q(**{f"{field.path}__{'overlap' if field.is_list else 'in'}": _values(field, value)})


def _all(field: Field, value: Any) -> Q:
    if not field.is_list:
        raise ValueError("is for lists")
    return Q(**{f"{field.path}__contains": _values(field, value)})


def _is_null(field: Field, value: Any) -> Q:
    if not field.is_list:
        return Q(**{f"{field.path}__isnull": as_switch(value)})
    empty = Q(**{f"{field.path}__len": 0})
    return empty if as_switch(value) else ~empty


def _like(field: Field, value: Any) -> Q:
    _must_be_text(field)
    return Q(**{f"{field.path}__icontains": as_text(value)})


def _starts_with(field: Field, value: Any) -> Q:
    _must_be_text(field)
    beginnings = _values(field, value)
    if len(beginnings) > MOST_BEGINNINGS:
        raise ValueError(f"must have at most {MOST_BEGINNINGS} values")
    found = Q(pk__in=[])
    for each in beginnings:
        found |= Q(**{f"{field.path}__istartswith": each})
    return found


def _must_be_text(field: Field) -> None:
    if field.read is not as_text or field.is_list:
        raise ValueError("is for texts")


def _compared(lookup: str) -> Callable[[Field, Any], Q]:
    return lambda field, value: Q(**{f"{field.path}__{lookup}": field.read(value)})


OPERATORS: Mapping[str, Callable[[Field, Any], Q]] = {
    "any_": _any,
    "not_any_": lambda field, value: ~_any(field, value),
    "all_": _all,
    "like_": _like,
    "startswith_": _starts_with,
    "is_null_": _is_null,
    "exists_": lambda field, value: ~_is_null(field, value),
    "eq_": _compared("exact"),
    "before_": _compared("lte"),
    "after_": _compared("gte"),
    "le_": _compared("lte"),
    "ge_": _compared("gte"),
}


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Turns a ValueError inside the block into a 422 that names the place."""
    try:
        yield
    except ValueError as error:
        raise InvalidInput([FieldError(where, str(error))]) from error


def as_object(value: Any, where: str) -> Mapping[str, Any]:
    """What a client sent under `where`; null is an empty object. Raises InvalidInput for any other value."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput([FieldError(where, "must be a JSON object")])
    return value
