"""What the roles allow in the API: viewers read, operators run and cancel, editors deploy."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from flows.models import Membership
from portal.access.actors import actor_of, has_role


class RolePermission(BasePermission):
    """Denies whatever the view does not name.

    A view lists its writing actions in `roles`; reading needs no entry, since every queryset is
    scoped to the actor's workspaces. A method that the view does not have passes, to become 405.
    """

    message = "Your role in this workspace does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        actor = actor_of(request)
        if actor.user_id is None:
            return False
        if request.method in SAFE_METHODS or view.action is None:
            return True
        role = view.roles.get(view.action)
        if role is None:
            return False
        return actor.workspace_id is None or has_role(actor, role, actor.workspace_id)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        role: Membership.Role | None = view.roles.get(view.action)
        if request.method in SAFE_METHODS or role is None:
            return request.method in SAFE_METHODS
        return has_role(actor_of(request), role, obj.workspace_id)
