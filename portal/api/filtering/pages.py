"""Which part of a list the body of a `POST /filter` asks for, and how far a `/count` counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from flows.catalog.parameters import FieldError
from portal.api.base.errors import InvalidInput
from portal.api.filtering.language import as_object

MOST_LISTED = 200
MOST_OFFSET = 1_000_000_000
MOST_COUNTED = 100_000  # counting further would make a page slower as runs pile up

Orders = Mapping[str, tuple[Any, ...]]  # by their names, as `order_by` takes them; the first is the default


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: `order` as `order_by` takes it."""

    order: tuple[Any, ...]
    offset: int
    limit: int

    def of(self, found: QuerySet[Any]) -> QuerySet[Any]:
        """This part of what was found, in the order asked for."""
        return self.cut(found.order_by(*self.order))

    def cut(self, found: QuerySet[Any]) -> QuerySet[Any]:
        """This part of what was found, in the order that it has."""
        return found[self.offset : self.offset + self.limit]


class PageInput(serializers.Serializer[Any]):
    """`limit` (200), `offset` (0) and `sort` of a body; the limit of each page is 200."""

    limit = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MOST_LISTED)
    offset = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MOST_OFFSET)
    sort = serializers.CharField(required=False, allow_null=True, max_length=100)


def page_of(body: Any, sorts: Orders) -> Page:
    """The page that the body asks for.

    Raises ValidationError for numbers out of range, InvalidInput for an unknown sort.
    """
    incoming = PageInput(data=as_object(body, "body"))
    incoming.is_valid(raise_exception=True)
    given = {name: value for name, value in incoming.validated_data.items() if value is not None}
    sort = given.get("sort", next(iter(sorts)))
    if sort not in sorts:
        raise InvalidInput([FieldError("sort", f"must be one of {', '.join(sorts)}")])
    return Page(sorts[sort], given.get("offset", 0), given.get("limit", MOST_LISTED))


def part_of(body: Any, name: str) -> Any:
    """What the body says under `name`; None if nothing. Raises InvalidInput for a body that is no object."""
    return as_object(body, "body").get(name)


def count_of(found: QuerySet[Any]) -> int:
    """How many there are; more than 100,000 are not counted."""
    return found.order_by()[:MOST_COUNTED].count()
