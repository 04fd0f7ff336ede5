"""Bundles: code that is stored by its hash, for agents to fetch."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from flows.models import Bundle, Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.errors import InvalidInput
from portal.api.resource import Listed, read

# Code is for agents; viewers read what it did.
READERS = Membership.Role.OPERATOR


class BundleInput(serializers.Serializer[Any]):
    """The body of a create: a tar.gz in base64, and its hash."""

    sha256 = serializers.RegexField("^[0-9a-f]{64}$")
    content = serializers.CharField()


class Bundles(Listed):
    """`/api/bundles`"""

    model = Bundle
    columns = ("id", "created", "sha256")
    ordering_fields = ("created",)
    lookup_value_regex = "[0-9a-f]{64}"
    roles: ClassVar[Mapping[str, Membership.Role]] = {"create": Membership.Role.EDITOR}

    def create(self, request: Request) -> Response:
        """Store a bundle: 201, or 200 if it is there already."""
        body = read(BundleInput, request)
        workspace = home_workspace(actor_of(request), Membership.Role.EDITOR)
        _, made = Bundle.objects.get_or_create(
            workspace=workspace, sha256=body["sha256"], defaults={"data": _checked(body)}
        )
        return Response({"sha256": body["sha256"]}, status=201 if made else 200)

    def retrieve(self, request: Request, pk: str) -> Response:
        """The bundle of this hash, in base64. Needs the role operator, as running it does."""
        workspace = home_workspace(actor_of(request), READERS)
        found = Bundle.objects.filter(workspace=workspace, sha256=pk).first()
        if found is None:
            raise NotFound(f"There is no bundle {pk}.")
        return Response({"sha256": pk, "content": b64encode(found.data).decode()})


def _checked(body: dict[str, Any]) -> bytes:
    try:
        data = b64decode(body["content"], validate=True)
    except binascii.Error as error:
        raise InvalidInput([FieldError("content", f"is not base64: {error}")]) from error
    if sha256(data).hexdigest() != body["sha256"]:
        raise InvalidInput([FieldError("sha256", "is not the hash of content")])
    return data
