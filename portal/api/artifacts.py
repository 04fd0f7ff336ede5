"""Artifacts of a flow run; Prefect's clients make, change and look for them here."""

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters
import orjson
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from flows.catalog.parameters import FieldError
from flows.models import Membership
from flows.sdk.ids import uuid7
from flows.sdk.recorder import NewArtifact
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.fields import TextField, storable
from portal.api.base.of_run import OfRun
from portal.api.base.resource import Resource, Rows, read
from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN
from portal.api.filtering.language import Fields, ids, texts, through
from portal.api.filtering.lists import PrefectLists
from portal.api.filtering.pages import Orders, page_of, part_of
from portal.api.filtering.query import TextInFilter, UUIDInFilter
from runs.client_reports import record_client_artifact
from runs.models import Artifact
from runs.session import DjangoSession

# Of the names of columns, which stand in each row: a table by columns may be far smaller than by rows.
MOST_CHARACTERS = 16_000_000


KEPT = ("id", "flow_run_id", "task_run_id", "type", "key", "description")  # unless a change names it


class ArtifactFilter(django_filters.FilterSet):
    """By key and task run."""

    key = TextInFilter()
    task_run = UUIDInFilter(field_name="task_run_id")


class NewArtifactInput(serializers.Serializer[Any]):
    """The body of a create; `data` is read as it is."""

    id = serializers.UUIDField(required=False, allow_null=True)
    flow_run_id = serializers.UUIDField()
    task_run_id = serializers.UUIDField(required=False, allow_null=True)
    type = serializers.ChoiceField(choices=Artifact.Type.choices, required=False, allow_null=True)
    key = TextField(max_length=200)
    description = TextField(max_length=1_000_000)


class ArtifactChangeInput(serializers.Serializer[Any]):
    """The body of a change; `data` is read as it is."""

    description = TextField(max_length=1_000_000)


class Artifacts(PrefectLists, OfRun, Resource):
    """`/api/artifacts`"""

    model = Artifact
    columns = ("id", "created", "key", "type", "description", "data", "flow_run_id", "task_run_id")
    filterset_class = ArtifactFilter
    ordering = "created"
    ordering_fields = ("created",)
    joined: ClassVar[Mapping[str, Fields]] = {
        "artifacts": {
            "id": ids("id"),
            "latest_id": ids("id"),
            "key": texts("key"),
            "flow_run_id": ids("flow_run_id"),
            "task_run_id": ids("task_run_id"),
            "type": texts("type"),
        },
        "flow_runs": through("flow_run__", FLOW_RUN),
        "flows": through("flow_run__flow__", FLOW),
        "deployments": through("flow_run__deployment__", DEPLOYMENT),
    }
    sorts: ClassVar[Orders] = {
        "ID_DESC": ("-created", "-id"),
        "CREATED_DESC": ("-created", "-id"),
        "UPDATED_DESC": ("-created", "-id"),
        "KEY_DESC": ("-key", "-id"),
        "KEY_ASC": ("key", "id"),
    }
    roles: ClassVar[Mapping[str, Membership.Role]] = {
        "create": Membership.Role.OPERATOR,
        "partial_update": Membership.Role.OPERATOR,
        "destroy": Membership.Role.EDITOR,
        "filter": Membership.Role.VIEWER,
        "count": Membership.Role.VIEWER,
        "filter_latest": Membership.Role.VIEWER,
    }

    def shape(self, rows: Rows) -> Rows:
        return [{**row, "updated": row["created"], "metadata_": None} for row in rows]

    def create(self, request: Request) -> Response:
        """Make an artifact of a run that the sender executes: 201."""
        body = read(NewArtifactInput, request)
        type, data = body.get("type", Artifact.Type.MARKDOWN.value), part_of(request.data, "data")
        if data is None:
            raise InvalidInput([FieldError("data", "is missing: an artifact shows something")])
        made = NewArtifact(
            id=body.get("id") or uuid7(),
            flow_run_id=body["flow_run_id"],
            task_run_id=body.get("task_run_id"),
            type=type,
            key=body.get("key") or None,
            description=body.get("description", ""),
            data=_native(type, data),
        )
        self._record(request, made)
        return Response(self.as_json(made.id), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change data or description, whichever the body has: 204."""
        row = self.as_json(pk)
        kept = {name: row[name] for name in KEPT} | read(ArtifactChangeInput, request)
        data = part_of(request.data, "data")
        changed = row["data"] if data is None else _native(row["type"], data)
        self._record(request, NewArtifact(**kept, data=changed))
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an artifact: 204."""
        self.get_object().delete()
        return Response(status=204)

    @action(detail=False, methods=["post"], url_path="latest/filter")
    def filter_latest(self, request: Request) -> Response:
        """The newest artifact of each key, at most 200 of them, in the order of the keys."""
        page = page_of(request.data, self.sorts)
        found = self.get_queryset().filter(self.wanted(request)).exclude(key=None)
        newest = found.order_by("workspace", "key", "-created").distinct("workspace", "key")
        rows = self.shape(list(page.cut(newest).values(*self.columns)))
        return Response([{**row, "latest_id": row["id"]} for row in rows])

    @action(detail=False, methods=["get"], url_path="(?P<key>[^/]+)/latest")
    def latest(self, request: Request, key: str) -> Response:
        """The newest artifact of a key."""
        found = Artifact.objects.for_actor(actor_of(request)).filter(key=storable(key)).order_by("-created")
        row = found.values(*self.columns).first()
        if row is None:
            raise NotFound(f"There is no artifact {key}, or you may not see it.")
        return Response(self.shape([row])[0])

    def _record(self, request: Request, artifact: NewArtifact) -> None:
        workspace = home_workspace(actor_of(request), Membership.Role.OPERATOR)
        with DjangoSession().transaction() as tx:
            if not record_client_artifact(tx, workspace.id, artifact):
                raise Conflict(detail=f"There is no flow run {artifact.flow_run_id} that you execute.")


def _native(type: str, data: Any) -> Any:
    """The data as Portal keeps it: Prefect's clients send tables as JSON in a text, by rows or by columns."""
    if type != Artifact.Type.TABLE:
        return data
    try:
        table = orjson.loads(data) if isinstance(data, str) else data
    except ValueError:
        return data
    if isinstance(table, dict) and table and all(isinstance(column, list) for column in table.values()):
        rows = min(map(len, table.values()))
        if rows * sum(map(len, table)) > MOST_CHARACTERS:
            raise InvalidInput([FieldError("data", "a table this large is kept elsewhere: link to it")])
        return [dict(zip(table, row, strict=False)) for row in zip(*table.values(), strict=False)]
    return table
