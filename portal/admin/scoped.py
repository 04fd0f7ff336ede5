"""What all our ModelAdmins share: each shows and changes only what the user's roles allow."""

from typing import Any, ClassVar

from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.admin.widgets import AdminTextareaWidget, RelatedFieldWidgetWrapper
from django.db.models import JSONField, Model, QuerySet, TextField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from flows.models import Membership, Workspace
from flows.scoping import ScopedModel
from portal.access.actors import actor_of, has_role, workspaces_with_role
from portal.admin.generic import AnyAdmin, AnyAdminOptions, AnyInline
from portal.admin.json_field import StrictJSONField

Role = Membership.Role


def workspace_id_of(thing: Any) -> Any:
    """The id of the workspace that owns this row."""
    for step in filter(None, thing.workspace_path.split("__")):
        thing = getattr(thing, step)
    return thing.pk


class Scoped(AnyAdminOptions):
    """Members see the rows of their workspaces; `writers` is the least role that changes them.

    Django's permissions per model play no part: the roles say who may do what.
    """

    writers: ClassVar[Role] = Role.EDITOR
    addable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    formfield_overrides: ClassVar[dict[Any, Any]] = {JSONField: {"form_class": StrictJSONField}}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model.objects.for_actor(actor_of(request))
        return rows

    def may_write(self, request: HttpRequest, obj: Model | None) -> bool:
        """Whether the user's role in the row's workspace (in any, without a row) is enough."""
        if obj is not None:
            return has_role(actor_of(request), self.writers, workspace_id_of(obj))
        return bool(self.writable_workspaces(request))

    def writable_workspaces(self, request: HttpRequest) -> list[Any]:
        """The ids of the workspaces in which the user's role is enough. One query for each request."""
        known = vars(request).setdefault("writable_workspaces", {})
        if self.writers not in known:
            known[self.writers] = list(workspaces_with_role(actor_of(request), self.writers))
        found: list[Any] = known[self.writers]
        return found

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.addable and self.may_write(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletable and self.may_write(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offers, and so accepts, only rows that the user may see."""
        if issubclass(db_field.related_model, ScopedModel):
            kwargs["queryset"] = db_field.related_model.objects.for_actor(actor_of(request))
        if db_field.related_model is Workspace:
            writable = self.writable_workspaces(request)
            kwargs["queryset"] = kwargs["queryset"].filter(pk__in=writable)
            kwargs["initial"] = writable[0] if len(writable) == 1 else None
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A plain choice: what is chosen here is made on pages of its own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field


class ScopedAdmin(Scoped, AnyAdmin):
    """The pages of a resource."""

    show_full_result_count = False
    list_per_page = 50
    sortable_by: ClassVar[tuple[str, ...]] = ()
    actions: Any = ()
    empty_text: ClassVar[str] = "Nothing here yet."
    heading: ClassVar[str] = ""
    """Of the list; empty: the model's name."""
    formfield_overrides = {
        **Scoped.formfield_overrides,
        TextField: {"widget": AdminTextareaWidget(attrs={"rows": 3})},
    }

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        # PostgreSQL holds no NUL; Django's check of filters does not know that.
        if any("\x00" in value for values in request.GET.lists() for value in values[1]):
            return redirect(f"{request.path}?{ERROR_FLAG}=1")
        return super().changelist_view(request, extra_context)


class ScopedInline(Scoped, AnyInline):
    """Rows of a resource within the page of its owner."""

    extra = 0
