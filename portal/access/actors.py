"""The actor behind a request, and what its roles allow."""

from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from flows.models import Membership, Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from flows.scoping import Actor
from portal.access.models import ApiToken
from runs.run_tokens import RunToken

Role = Membership.Role
ASCENDING = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]


def actor_of(request: Request | HttpRequest) -> Actor:
    """Who asks: a token limits its user to one workspace, a login does not."""
    token = getattr(request, "auth", None)
    run_id = token.run_id if isinstance(token, RunToken) else None
    return actor_of_user(request.user, workspace_of_token(request), run_id)


def actor_of_user(user: Any, workspace_id: UUID | None = None, run_id: UUID | None = None) -> Actor:
    """`user`, limited to `workspace_id` if one is given, or the process of a run; nobody, for None or an
    anonymous user."""
    if user is None or not user.is_authenticated:
        return Actor(user_id=None)
    return Actor(
        user_id=user.pk,
        is_superuser=user.is_superuser,
        workspace_id=workspace_id,
        name=user.get_username(),
        run_id=run_id,
    )


def created_by(request: Request) -> dict[str, Any]:
    """Who made a run, as it is stored with it."""
    return dict(actor_of(request).as_json())


def workspace_of_token(request: Request | HttpRequest) -> UUID | None:
    """The workspace that the request's token selects; None for a login."""
    token = getattr(request, "auth", None)
    return token.workspace_id if isinstance(token, ApiToken | RunToken) else None


def has_role(actor: Actor, role: Membership.Role, workspace_id: UUID) -> bool:
    """Whether `actor` may do in this workspace what `role` may do."""
    if actor.user_id is None or actor.workspace_id not in (None, workspace_id):
        return False
    if actor.is_superuser:
        return True
    if actor.run_id is not None:  # runs code that an editor deployed
        return actor.workspace_id == workspace_id and role != Role.ADMIN
    enough = ASCENDING[ASCENDING.index(role) :]
    return Membership.objects.filter(
        user_id=actor.user_id, workspace_id=workspace_id, role__in=enough
    ).exists()


def need_role(actor: Actor, role: Membership.Role, workspace_id: UUID) -> None:
    """Raises PermissionDenied if `actor` may not do there what `role` may do."""
    if not has_role(actor, role, workspace_id):
        raise PermissionDenied(f"You need the role '{role.value}' in this workspace to do this.")


def workspaces_with_role(actor: Actor, role: Membership.Role) -> QuerySet[Workspace, UUID]:
    """The ids of the workspaces in which `actor` may do what `role` may do."""
    visible = Workspace.objects.for_actor(actor)
    if not actor.is_superuser:
        enough = ASCENDING[ASCENDING.index(role) :]
        visible = visible.filter(memberships__user_id=actor.user_id, memberships__role__in=enough)
    return visible.values_list("id", flat=True)


def home_workspace(actor: Actor, role: Membership.Role) -> Workspace:
    """Where `actor` makes new things: the token's workspace, else the default one, else the first.

    Raises PermissionDenied when there is none in which the actor has `role`.
    """
    visible = sorted(
        Workspace.objects.for_actor(actor), key=lambda each: (each.name != DEFAULT_WORKSPACE, each.name)
    )
    for workspace in visible:
        if has_role(actor, role, workspace.id):
            return cast(Workspace, workspace)
    raise PermissionDenied(f"You need the role '{role.value}' in a workspace to do this.")
