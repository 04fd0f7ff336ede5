"""API tokens: seen and revoked here, made where their text can be shown once."""

from typing import Any

from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.safestring import SafeString

from portal.access.actors import actor_of
from portal.access.models import ApiToken
from portal.admin.looks import when
from portal.admin.scoped import Role, ScopedAdmin


class ApiTokenAdmin(ScopedAdmin):
    """A user's own tokens; an admin of the workspace sees all of its tokens."""

    list_display = ("prefix", "name", "user", "workspace", "created_when", "expires", "revoked")
    list_select_related = ("user", "workspace")
    ordering = ("-created",)
    empty_text = "No tokens yet. Make one: python manage.py token create USER"
    fields = ("prefix", "name", "user", "workspace", "created", "expires", "revoked")
    readonly_fields = ("prefix", "user", "workspace", "created", "revoked")
    writers = Role.ADMIN
    actions = ("revoke",)

    @action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[Any]) -> None:
        mine = [token.pk for token in tokens if self.may_write(request, token)]
        revoked = ApiToken.objects.for_actor(actor_of(request)).filter(pk__in=mine, revoked=None)
        self.message_user(request, f"{revoked.update(revoked=Now())} revoked.")

    @display(description="created")
    def created_when(self, token: ApiToken) -> SafeString:
        return when(token.created)
