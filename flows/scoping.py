"""Who may see what: every face reads through `Model.objects.for_actor(actor)`."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks: a user, limited to one workspace if they came with a token.

    `workspace_id` None means every workspace in which the user is a member
    (a superuser: every workspace).
    """

    user_id: Any
    is_superuser: bool = False
    workspace_id: UUID | None = None
    name: str = ""

    def as_json(self) -> dict[str, str]:
        """How it is kept with what it did."""
        return {"type": "USER", "id": str(self.user_id), "display_value": self.name}


class ScopedQuerySet(models.QuerySet[Any]):
    """Adds `for_actor`. The model says how to reach its workspace by `workspace_path`."""

    def for_actor(self, actor: Actor) -> Self:
        """Only the rows of the workspaces that `actor` may see; none for an anonymous one."""
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
        condition = models.Q()
        for path in self.model.workspace_paths or (self.model.workspace_path,):
            condition |= models.Q(**{f"{path}__{lookup}" if path else lookup: value})
        return self.filter(condition)


ScopedManager = models.Manager.from_queryset(ScopedQuerySet)


class ScopedModel(models.Model):
    """A model that belongs to a workspace. Some find it by one of several `workspace_paths`."""

    workspace_path: ClassVar[str] = "workspace"
    workspace_paths: ClassVar[tuple[str, ...]] = ()

    objects = ScopedManager()

    class Meta:
        abstract = True
