"""What was left for a flow run: its question, the answer, and values from other runs."""

from typing import Any

import orjson
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from flows.catalog.json_text import json_text
from flows.catalog.parameters import FieldError
from flows.sdk.backend import SentInput
from portal.api.base.errors import InvalidInput
from portal.api.base.fields import TextField, storable
from portal.api.base.resource import Row, read
from runs.inputs import forget_input, list_inputs, put_input, read_input
from runs.session import DjangoSession

MOST_CHARACTERS = 512 * 1024


class InputBody(serializers.Serializer[Any]):
    """A value to leave; `value` is JSON as text."""

    key = serializers.CharField(max_length=300)
    value = serializers.CharField(max_length=MOST_CHARACTERS, trim_whitespace=False)
    sender = TextField(max_length=300)


class InputFilterBody(serializers.Serializer[Any]):
    """Which inputs to list."""

    prefix = TextField(max_length=300)
    limit = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=200)
    exclude_keys = serializers.ListField(
        child=serializers.CharField(max_length=300), required=False, allow_null=True, max_length=20_000
    )


class RunInputActions(GenericViewSet[Any]):
    """The routes below a flow run that read and write its inputs."""

    @action(detail=True, methods=["post"], url_path="input")
    def put_input(self, request: Request, pk: str) -> Response:
        """Leave a value; it replaces what is there under the same key."""
        run = self.get_object()
        body = read(InputBody, request)
        try:
            value = orjson.loads(body["value"])
        except orjson.JSONDecodeError as error:
            raise InvalidInput([FieldError("value", f"is not JSON: {error}")]) from error
        with DjangoSession().transaction() as tx:
            put_input(tx, run.id, SentInput(body["key"], value, body.get("sender", "")))
        return Response(status=201)

    @action(detail=True, methods=["post"], url_path="input/filter")
    def filter_inputs(self, request: Request, pk: str) -> Response:
        """Inputs whose key begins with `prefix`, oldest first, without those in `exclude_keys`."""
        run = self.get_object()
        body = read(InputFilterBody, request)
        with DjangoSession().transaction() as tx:
            found = list_inputs(tx, run.id, body.get("prefix", ""), body.get("exclude_keys", ()))
        return Response([_as_json(run.id, sent) for sent in found[: body.get("limit", 200)]])

    @action(detail=True, url_path="input/(?P<key>[^/]+)")
    def get_input(self, request: Request, pk: str, key: str) -> Response:
        """The value under a key."""
        run = self.get_object()
        with DjangoSession().transaction() as tx:
            sent = read_input(tx, run.id, storable(key))
        if sent is None:
            raise NotFound(f"Nothing was sent to this run under the key {key!r}.")
        return Response(sent.value)

    @get_input.mapping.delete
    def delete_input(self, request: Request, pk: str, key: str) -> Response:
        """Forget the value under a key."""
        run = self.get_object()
        with DjangoSession().transaction() as tx:
            there = forget_input(tx, run.id, storable(key))
        if not there:
            raise NotFound(f"Nothing was sent to this run under the key {key!r}.")
        return Response(status=204)


def _as_json(run_id: Any, sent: SentInput) -> Row:
    value = json_text(sent.value)
    return {"flow_run_id": run_id, "key": sent.key, "value": value, "sender": sent.sender or None}
