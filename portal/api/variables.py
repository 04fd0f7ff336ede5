"""Variables: small JSON values, by name."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import django_filters
from django.db.models import Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from flows.models import Membership, Variable
from flows.sdk.variables import check_variable
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import InvalidInput
from portal.api.base.fields import TagsField, storable
from portal.api.base.resource import Resource, given_of, unless_taken
from portal.api.filtering.language import Fields, ids, tags, texts
from portal.api.filtering.lists import BY_NAME, PrefectLists
from portal.api.filtering.query import TagsFilter, TextInFilter

Role = Membership.Role


class VariableFilter(django_filters.FilterSet):
    """By name and tags."""

    name = TextInFilter()
    tags = TagsFilter()


class VariableChange(serializers.Serializer[Any]):
    """What may be changed of a variable."""

    name = serializers.CharField(max_length=255, required=False)
    value = serializers.JSONField(required=False, allow_null=True)
    tags = TagsField()


class NewVariable(VariableChange):
    """A variable to be made."""

    name = serializers.CharField(max_length=255)
    value = serializers.JSONField(allow_null=True)


class Variables(PrefectLists, Resource):
    """`/api/variables`"""

    model = Variable
    columns = ("id", "created", "updated", "name", "value", "tags")
    filterset_class = VariableFilter
    joined: ClassVar[Mapping[str, Fields]] = {
        "variables": {"id": ids("id"), "name": texts("name"), "tags": tags("tags")}
    }
    sorts = BY_NAME
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "filter": Role.VIEWER,
        "count": Role.VIEWER,
        "create": Role.EDITOR,
        "partial_update": Role.EDITOR,
        "destroy": Role.EDITOR,
        "change_by_name": Role.EDITOR,
        "destroy_by_name": Role.EDITOR,
    }

    def create(self, request: Request) -> Response:
        """Make a variable; 409 if there is one of this name."""
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        made = self._saved(Variable(workspace=workspace), NewVariable, request)
        return Response(self.as_json(made.pk), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204."""
        self._saved(self.get_object(), VariableChange, request)
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=204)

    @action(detail=False, url_path="name/(?P<name>[^/]+)")
    def by_name(self, request: Request, name: str) -> Response:
        """One variable."""
        return Response(self.as_json(self._named(name).pk))

    @by_name.mapping.patch
    def change_by_name(self, request: Request, name: str) -> Response:
        """Change what the body names: 204."""
        self._saved(self._named(name), VariableChange, request)
        return Response(status=204)

    @by_name.mapping.delete
    def destroy_by_name(self, request: Request, name: str) -> Response:
        self._named(name).delete()
        return Response(status=204)

    def _named(self, name: str) -> Variable:
        return cast(Variable, self.find(f"variable {name!r}", Q(name=storable(name))))

    def _saved(self, variable: Variable, serializer: type[VariableChange], request: Request) -> Variable:
        for name, value in given_of(serializer, request).items():
            setattr(variable, name, [] if name == "tags" and value is None else value)
        try:
            check_variable(variable.name, variable.value)
        except ValueError as error:
            raise InvalidInput([FieldError("value", str(error))]) from error
        with unless_taken(f"a variable {variable.name!r}"):
            variable.save()
        return variable
