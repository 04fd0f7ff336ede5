"""Users: superusers make them; what they may do is said by their roles in workspaces."""

from typing import Any

from django.http import HttpRequest

from portal.admin.generic import AnyUserAdmin


class UserAdmin(AnyUserAdmin):
    """Django's, without the groups and permissions that mean nothing here."""

    list_display = ("username", "email", "first_name", "last_name", "is_staff", "is_superuser", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        (
            "May log in",
            {
                "fields": ("is_active", "is_staff", "is_superuser"),
                "description": "Staff see the workspaces that they are members of; superusers see all.",
            },
        ),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)
