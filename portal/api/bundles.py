"""Bundles: code that is stored by its hash, for agents to fetch."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar

from django.utils.timezone import now
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from flows.models import Bundle, Membership
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import InvalidInput
from portal.api.base.parsers import BundleParser
from portal.api.base.resource import Listed, read

# Code is for agents; viewers read what it did.
READERS = Membership.Role.OPERATOR


class Base64Field(serializers.Field[Any, Any, Any, Any]):
    """Bytes in base64. (A CharField looks at each character in Python: seconds, for a large bundle.)"""

    def to_internal_value(self, data: Any) -> bytes:
        if not isinstance(data, str):
            raise serializers.ValidationError("must be a text in base64.")
        try:
            return b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise serializers.ValidationError(f"is not base64: {error}") from error


class BundleInput(serializers.Serializer[Any]):
    """The body of a create: a tar.gz in base64, and its hash."""

    sha256 = serializers.RegexField("^[0-9a-f]{64}$")
    content = Base64Field()


class Bundles(Listed):
    """`/api/bundles`"""

    model = Bundle
    parser_classes = (BundleParser,)
    columns = ("id", "created", "sha256")
    ordering_fields = ("created",)
    lookup_value_regex = "[0-9a-f]{64}"
    roles: ClassVar[Mapping[str, Membership.Role]] = {"create": Membership.Role.EDITOR}

    def create(self, request: Request) -> Response:
        """Store a bundle, of at most 32 MiB: 201, or 200 if it is there already.

        One that no version of a deployment refers to within a day is removed.
        """
        body = read(BundleInput, request)
        workspace = home_workspace(actor_of(request), Membership.Role.EDITOR)
        if sha256(body["content"]).hexdigest() != body["sha256"]:
            raise InvalidInput([FieldError("sha256", "is not the hash of content")])
        known = {"workspace": workspace, "sha256": body["sha256"]}
        if Bundle.objects.filter(**known).update(created=now()):  # its day begins anew
            return Response({"sha256": body["sha256"]})
        Bundle.objects.get_or_create(**known, defaults={"data": body["content"]})
        return Response({"sha256": body["sha256"]}, status=201)

    def retrieve(self, request: Request, pk: str) -> Response:
        """The bundle of this hash, in base64. Needs the role operator, as running it does."""
        workspace = home_workspace(actor_of(request), READERS)
        found = Bundle.objects.filter(workspace=workspace, sha256=pk).first()
        if found is None:
            raise NotFound(f"There is no bundle {pk}.")
        return Response({"sha256": pk, "content": b64encode(found.data).decode()})
