"""What the roles allow in the API: viewers read, operators run and cancel, editors deploy."""

from typing import Any

from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.access.actors import actor_of, has_role
from portal.access.run_tokens import is_opened
from runs.run_tokens import RunToken


class RolePermission(BasePermission):
    """Denies whatever the view does not name.

    A view lists its writing actions in `roles`; reading needs no entry, since every queryset is
    scoped to the actor's workspaces. A method that the view does not have passes, to become 405. A run's own
    process may do what `run_tokens.OPENED` names, and even read nothing else.
    """

    message = "Your role in this workspace does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        actor = actor_of(request)
        if actor.user_id is None:
            return False
        if isinstance(request.auth, RunToken):
            return _opens(request.auth, view)
        if request.method in SAFE_METHODS or view.action is None:
            return True
        role = view.roles.get(view.action)
        if role is None:
            return False
        return actor.workspace_id is None or has_role(actor, role, actor.workspace_id)

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        actor = actor_of(request)
        if request.method in SAFE_METHODS or actor.workspace_id == obj.workspace_id:
            return True  # the token's workspace was checked above
        return has_role(actor, view.roles[view.action], obj.workspace_id)


def _opens(token: RunToken, view: Any) -> bool:
    if not is_opened(view):
        raise PermissionDenied("A run's token opens only what its run needs.")
    if not token.is_live and view.action != "report":  # that one says itself why the process should stop
        raise AuthenticationFailed("This run's token ended with its attempt: another one owns the run now.")
    return True
