"""Who may see what: every face reads through `Model.objects.for_actor(actor)`."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks: a user, limited to one workspace if they came with a token.

    `workspace_id` None means every workspace in which the user is a member
    (a superuser: every workspace). `run_id` is set if the process of a flow run asks, for itself: of
    runs it sees that one, its subflows and those that it started.
    """

    user_id: Any
    is_superuser: bool = False
    workspace_id: UUID | None = None
    name: str = ""
    run_id: UUID | None = None

    def as_json(self) -> dict[str, str]:
        """How it is kept with what it did."""
        kind = "USER" if self.run_id is None else "FLOW_RUN"
        return {"type": kind, "id": str(self.run_id or self.user_id), "display_value": self.name}


class ScopedQuerySet(models.QuerySet[Any]):
    """Adds `for_actor`. The model says how to reach its workspace by `workspace_path`, and its flow run by
    `run_path`, if it belongs to one."""

    def for_actor(self, actor: Actor) -> Self:
        """Only the rows that `actor` may see: of its workspaces, of its runs; none for an anonymous one."""
        found = self._of_workspaces(actor)
        path: str | None = self.model.run_path
        if actor.run_id is None or path is None:
            return found
        mine, subflow = Q(**{f"{path}id": actor.run_id}), Q(**{f"{path}root_run_id": actor.run_id})
        started = Q(**{f"{path}created_by__type": "FLOW_RUN", f"{path}created_by__id": str(actor.run_id)})
        return found.filter(mine | subflow | started)

    def _of_workspaces(self, actor: Actor) -> Self:
        if actor.workspace_id is not None:
            return self._within("id", actor.workspace_id)
        if actor.is_superuser:
            return self
        if actor.user_id is None:
            return self.none()
        from flows.models.workspace import Membership

        mine = Membership.objects.filter(user_id=actor.user_id).values("workspace_id")
        return self._within("id__in", mine)

    def _within(self, lookup: str, value: Any) -> Self:
        condition = Q()
        for path in self.model.workspace_paths or (self.model.workspace_path,):
            condition |= Q(**{f"{path}__{lookup}" if path else lookup: value})
        return self.filter(condition)


ScopedManager = models.Manager.from_queryset(ScopedQuerySet)


class ScopedModel(models.Model):
    """A model that belongs to a workspace. Some find it by one of several `workspace_paths`."""

    workspace_path: ClassVar[str] = "workspace"
    workspace_paths: ClassVar[tuple[str, ...]] = ()
    run_path: ClassVar[str | None] = None  # ends in "__", or is empty for flow runs themselves

    objects = ScopedManager()

    class Meta:
        abstract = True
