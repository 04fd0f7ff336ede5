"""List filters whose choices are limited to what the user may see."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ChoicesFieldListFilter, RelatedFieldListFilter, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from flows.models import Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from portal.access.actors import actor_of
from runs.removal import PLANNED

MOST_CHOICES = 200


class ScopedRelatedFilter(RelatedFieldListFilter):
    """By a related row; Django's own would name the rows of every workspace."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = field.related_model.objects.for_actor(actor_of(request))
        names = rows.order_by("name").values_list("pk", *self.label_columns(field))[:MOST_CHOICES]
        return [(pk, " / ".join(label)) for pk, *label in names]

    def label_columns(self, field: Any) -> list[str]:
        return ["flow__name", "name"] if field.name == "deployment" else ["name"]


class StateFilter(ChoicesFieldListFilter):
    """By the type of a run's state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "state"


COMING = PLANNED & Q(expected_start_time__gt=Now())
"""What schedules have planned and is not due yet: up to a hundred runs of each."""


class ComingFilter(SimpleListFilter):
    """Leaves out what is only planned: a schedule of each minute would fill the first page with it."""

    title = "coming"
    parameter_name = "coming"
    shown = "shown"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.is_asked_for = "state_type__exact" in request.GET
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(self.shown, self.shown)]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Hidden unless somebody asks for them, or for a state."""
        is_shown = self.is_asked_for or self.value() == self.shown
        hide = changelist.get_query_string(remove=[self.parameter_name, "p"])
        show = changelist.get_query_string({self.parameter_name: self.shown}, ["p"])
        yield {"selected": not is_shown, "query_string": hide, "display": "hidden"}
        yield {"selected": is_shown, "query_string": show, "display": self.shown}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.is_asked_for or self.value() == self.shown else queryset.exclude(COMING)


class WorkspaceFilter(SimpleListFilter):
    """One workspace at a time, so that every list of runs reads one range of an index.

    Without a choice it is the default workspace, else the first one. A list narrowed to a flow, a
    deployment or a backfill needs no workspace.
    """

    title = "workspace"
    parameter_name = "workspace"
    narrower = ("flow__id__exact", "deployment__id__exact", "backfill__id__exact")

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.visible = sorted(
            Workspace.objects.for_actor(actor_of(request)),
            key=lambda each: (each.name != DEFAULT_WORKSPACE, each.name),
        )
        self.is_narrow = any(name in request.GET for name in self.narrower)
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(each.pk), each.name) for each in self.visible]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """There is no "All"."""
        chosen = self.value() or ("" if self.is_narrow else str(self.visible[0].pk))
        for pk, name in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: pk}, ["p"])
            yield {"selected": pk == chosen, "query_string": query, "display": name}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = {str(each.pk) for each in self.visible}
        if self.value() in known:
            return queryset.filter(workspace_id=self.value())
        if self.is_narrow or not self.visible:
            return queryset
        return queryset.filter(workspace_id=self.visible[0].pk)
