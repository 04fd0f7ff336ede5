"""Workspaces, with their members inline."""

from typing import Any

from django.http import HttpRequest

from flows.models import Membership
from portal.admin.scoped import Role, ScopedAdmin, ScopedInline


class MembershipInline(ScopedInline):
    """Who may do what in the workspace."""

    model = Membership
    writers = Role.ADMIN
    addable = deletable = True
    fields = ("user", "role")


class WorkspaceAdmin(ScopedAdmin):
    """Tenants. Superusers make them; none is deleted here, for everything would go with it."""

    list_display = ("name", "created")
    ordering = ("name",)
    fields = ("name",)
    writers = Role.ADMIN
    inlines = (MembershipInline,)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)
