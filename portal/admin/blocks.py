"""Blocks: seen by name, replaced, never shown."""

import json
from typing import Any

from django import forms
from django.contrib.admin import display
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.safestring import SafeString

from flows.catalog.vault import seal
from flows.models import Block
from flows.sdk.block_names import TYPE_OF_SECRETS
from portal.admin.generic import AnyForm
from portal.admin.looks import when
from portal.admin.scoped import ScopedAdmin


class BlockForm(AnyForm):
    """The content is asked for each time: what is stored does not come back to a page."""

    content = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60}),
        help_text="The value of a secret as it is; of other types, all fields as a JSON object. It replaces "
        "what is stored, which is never shown.",
    )

    class Meta:
        model = Block
        fields = ("workspace", "type", "name")
        help_texts = {
            "type": "secret, or the type of a Block class: DatabaseLogin is database-login.",
            "name": "As in Secret.load(name).",
        }

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "content" in given:
            type = given.get("type") or self.instance.type
            given["document"] = _document(type, given["content"])
        return given

    def save(self, commit: bool = True) -> Any:
        self.instance.sealed = seal(self.instance.workspace_id, self.cleaned_data["document"])
        return super().save(commit)


def _document(type: str, content: str) -> dict[str, Any]:
    """Raises ValidationError without repeating what was typed."""
    if type == TYPE_OF_SECRETS:
        return {"value": content}
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ValidationError({"content": f"Write the fields of {type} as a JSON object."})
    return document


class BlockAdmin(ScopedAdmin):
    """Types and names. Only flows see what is in them."""

    form = BlockForm
    list_display = ("name", "type", "updated_when")
    list_filter = ("type",)
    search_fields = ("name", "type")
    ordering = ("type", "name")
    fields = ("workspace", "type", "name", "content")
    addable = deletable = True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A block that is there keeps its place: its encryption is tied to the workspace."""
        return ("workspace", "type", "name") if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Those who may only look see no field to write to."""
        writable = self.has_change_permission(request, obj)
        return self.fields if writable else ("workspace", "type", "name")

    @display(description="updated")
    def updated_when(self, block: Block) -> SafeString:
        return when(block.updated)
