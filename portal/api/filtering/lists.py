"""Lists and counts as Prefect's clients ask for them, for resources whose filters follow one pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.scoping import ScopedModel
from portal.access.actors import actor_of
from portal.api.base.resource import Listed
from portal.api.filtering.language import Fields, as_object, condition, exists
from portal.api.filtering.pages import Orders, count_of, page_of


@dataclass(frozen=True, slots=True)
class Referring:
    """Rows of another model that may be filtered by: those that refer by `path` to the listed row."""

    model: type[ScopedModel]
    path: str
    fields: Fields


BY_NAME: Orders = {
    "NAME_ASC": ("name", "id"),
    "NAME_DESC": ("-name", "-id"),
    "CREATED_DESC": ("-created", "-id"),
    "UPDATED_DESC": ("-updated", "-id"),
}


class PrefectLists(Listed):
    """`POST /filter` and `/count`.

    `joined` are the filters of the row itself and of what it refers to, by their names in a body;
    `referring` those of what refers to it.
    """

    joined: ClassVar[Mapping[str, Fields]]
    referring: ClassVar[Mapping[str, Referring]] = {}
    sorts: ClassVar[Orders]

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """What the filters mean, at most 200."""
        return Response(self.filtered(request, self.get_queryset()))

    @action(detail=False, methods=["post"])
    def count(self, request: Request) -> Response:
        """How many there are; more than 100,000 are not counted."""
        return Response(count_of(self.get_queryset().filter(self.wanted(request))))

    def filtered(self, request: Request, among: QuerySet[Any]) -> Any:
        """The page of these rows that the body asks for, as JSON. Raises InvalidInput."""
        page = page_of(request.data, self.sorts)
        return self.shape(list(page.of(among.filter(self.wanted(request))).values(*self.columns)))

    def wanted(self, request: Request) -> Q:
        """What the body's filters mean. Raises InvalidInput."""
        body, actor, wanted = as_object(request.data, "body"), actor_of(request), Q()
        for name, fields in self.joined.items():
            wanted &= condition(body.get(name), fields, name)
        for name, other in self.referring.items():
            if theirs := condition(body.get(name), other.fields, name):
                wanted &= exists(other.model.objects.for_actor(actor).filter(theirs), other.path)
        return wanted
