"""What all resources have in common: scoped querysets, lists by keyset, details as plain JSON."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from pydantic import TypeAdapter, ValidationError
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.viewsets import GenericViewSet

from flows.models import Membership
from flows.scoping import ScopedModel
from portal.access.actors import actor_of
from portal.api.base.errors import Conflict, InvalidInput, problems_of
from portal.api.base.fields import UUID_PATTERN

Row = dict[str, Any]
Body = TypeVar("Body")
Rows = list[Row]  # within a viewset, `list` is the action


class Listed(GenericViewSet[Any]):
    """One kind of object, in lists. They read `columns` and give the rows to `shape`.

    Rows are dicts: building model instances and serializers doubles the cost of a page.
    """

    model: ClassVar[type[ScopedModel]]
    columns: ClassVar[tuple[str, ...]]
    roles: ClassVar[Mapping[str, Membership.Role]] = {}
    ordering: ClassVar[str] = "-created"
    ordering_fields: ClassVar[tuple[str, ...]] = ("created", "name")
    max_limit: ClassVar[int] = 200
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[Any]:
        found: QuerySet[Any] = self.model.objects.for_actor(actor_of(self.request))
        return found

    def find(self, what: str, wanted: Q) -> Any:
        """The oldest object that is wanted. Raises NotFound, which says that there is no `what`, also for
        one that the actor may not see; and PermissionDenied."""
        found = self.get_queryset().filter(wanted).order_by("created").first()
        if found is None:
            raise NotFound(f"There is no {what}, or you may not see it.")
        self.check_object_permissions(self.request, found)
        return found

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters are for lists: a detail is asked for by its id alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()).values(*self.columns))
        return self.get_paginated_response(self.shape(rows or []))

    def shape(self, rows: Rows) -> Rows:
        """The rows under the names that clients know."""
        return rows


class Resource(Listed):
    """One kind of object, in lists and by id."""

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self.as_json(pk))

    def as_json(self, pk: Any) -> Row:
        """One object. Raises NotFound also for what the actor may not see."""
        row = self.get_queryset().filter(pk=pk).values(*self.columns).first()
        if row is None:
            raise NotFound(f"There is no {self.model._meta.verbose_name} {pk}, or you may not see it.")
        return self.shape([row])[0]


def read(serializer: type[Serializer[Any]], request: Request) -> Row:
    """The request's body as `serializer` understands it: unknown fields ignored, null as absent.

    Raises ValidationError, which becomes a 422.
    """
    incoming = serializer(data=request.data)
    incoming.is_valid(raise_exception=True)
    return {name: value for name, value in incoming.validated_data.items() if value is not None}


def given_of(serializer: type[Serializer[Any]], request: Request) -> Row:
    """The fields that the body has, null included: to change something, null and absent differ.

    Raises ValidationError, which becomes a 422.
    """
    incoming = serializer(data=request.data)
    incoming.is_valid(raise_exception=True)
    return dict(incoming.validated_data)


def is_forced(request: Request) -> bool:
    """Whether the query says `?force=true`."""
    return request.query_params.get("force", "").lower() in {"1", "true", "yes"}


@contextmanager
def unless_taken(what: str) -> Iterator[None]:
    """A transaction that makes or renames something. Raises Conflict: there is `what` already."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise Conflict(detail=f"There is {what} already.") from error


def understood(adapter: "TypeAdapter[Body]", request: Request) -> Body:
    """The request's body as `adapter` understands it. Raises InvalidInput."""
    try:
        return adapter.validate_python(request.data)
    except ValidationError as error:
        raise InvalidInput(problems_of(error)) from error
