"""Concurrency limits as Prefect's clients know them: global ones, by id or name, with leased slots.

They are the limits of `/api/concurrency_limits`, and so are tag limits: those named `tag:<tag>`.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from typing import Any, ClassVar, cast
from uuid import UUID, uuid5

from django.core.exceptions import ValidationError
from django.db.models import Q
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.models import Membership
from flows.sdk.ids import uuid7
from portal.access.actors import actor_of, home_workspace
from portal.api.base.errors import Gone, Locked
from portal.api.base.fields import UUID_PATTERN, NumberField, storable
from portal.api.base.resource import Listed, Row, Rows, given_of, read, unless_taken
from portal.api.concurrency_limits.routes import (
    LIMIT_COLUMNS,
    MOST_LEASE_SECONDS,
    MOST_SLOTS,
    known_run,
    with_holders,
)
from portal.api.concurrency_limits.tag_limits import PREFIX as TAG
from portal.api.filtering.pages import page_of
from runs import limits
from runs.models import ConcurrencyLimit
from runs.session import DjangoSession

Role = Membership.Role
ASK_AGAIN = 1.0  # seconds, where nobody knows when a slot becomes free
LEASE_SECONDS = 300
# The lease of those whom no limit holds back: it has no slots that could be lost.
NOTHING_HELD = UUID(int=0)
SORTS = {"NAME_ASC": ("name", "id"), "NAME_DESC": ("-name", "-id"), "CREATED_DESC": ("-created", "-id")}


class LimitChange(serializers.Serializer[Any]):
    """What may be changed of a limit. `active_slots` is not among it: slots are counted."""

    name = serializers.CharField(max_length=200, required=False)
    limit = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MOST_SLOTS)
    active = serializers.BooleanField(required=False, allow_null=True)
    slot_decay_per_second = NumberField(required=False, allow_null=True, min_value=0)


class NewLimit(LimitChange):
    """A limit to be made."""

    name = serializers.CharField(max_length=200)
    limit = serializers.IntegerField(min_value=0, max_value=MOST_SLOTS)


class HolderInput(serializers.Serializer[Any]):
    """Who takes slots."""

    type = serializers.ChoiceField(choices=["flow_run", "task_run", "deployment"])
    id = serializers.UUIDField()


class SlotsInput(serializers.Serializer[Any]):
    """Slots of several limits. In the mode rate_limit they decay, and no lease is needed."""

    names = serializers.ListField(child=serializers.CharField(max_length=200), min_length=1, max_length=100)
    slots = serializers.IntegerField(min_value=1, max_value=MOST_SLOTS)
    mode = serializers.ChoiceField(choices=["concurrency", "rate_limit"], required=False, allow_null=True)


class LeaseInput(SlotsInput):
    """Slots that are held for `lease_duration` seconds, and longer if the lease is renewed."""

    lease_duration = NumberField(required=False, allow_null=True, min_value=1, max_value=MOST_LEASE_SECONDS)
    holder = HolderInput(required=False, allow_null=True)


class RenewInput(serializers.Serializer[Any]):
    """The body of renew."""

    lease_duration = NumberField(required=False, allow_null=True, min_value=1, max_value=MOST_LEASE_SECONDS)


class ReleaseInput(serializers.Serializer[Any]):
    """The body of decrement-with-lease."""

    lease_id = serializers.UUIDField()


class GlobalLimits(Listed):
    """`/api/v2/concurrency_limits`"""

    model = ConcurrencyLimit
    columns = LIMIT_COLUMNS
    ordering = "name"
    lookup_value_regex = "[^/]+"
    roles: ClassVar[Mapping[str, Role]] = {
        "create": Role.EDITOR,
        "partial_update": Role.EDITOR,
        "destroy": Role.EDITOR,
        "filter": Role.VIEWER,
        "increment": Role.OPERATOR,
        "increment_with_lease": Role.OPERATOR,
        "decrement_with_lease": Role.OPERATOR,
        "renew": Role.OPERATOR,
    }

    def shape(self, rows: Rows) -> Rows:
        return with_holders(rows)

    def create(self, request: Request) -> Response:
        """Make a limit: 201; 409 if there is one of this name."""
        body = read(NewLimit, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        limit = self._saved(ConcurrencyLimit(workspace=workspace), body)
        return Response(self._as_json(limit), status=201)

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """All limits by name, at most 200."""
        rows = page_of(request.data, SORTS).of(self.get_queryset()).values(*self.columns)
        return Response(self.shape(list(rows)))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self._as_json(self._limit(pk)))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204. Who holds slots keeps them."""
        given = given_of(LimitChange, request)
        self._saved(self._limit(pk), {name: each for name, each in given.items() if each is not None})
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Remove the limit: from now on it holds nobody back."""
        self._limit(pk).delete()
        return Response(status=204)

    @action(detail=False, methods=["post"])
    def increment(self, request: Request) -> Response:
        """Take slots for a rate: they free themselves. As `increment-with-lease`, but without a lease."""
        body = read(SlotsInput, request)
        if body.get("mode") != "rate_limit":
            raise ValidationError("Slots that are held need a lease: use increment-with-lease.")
        return Response(self._take(request, body, uuid7(), None))

    @action(detail=False, methods=["post"], url_path="increment-with-lease")
    def increment_with_lease(self, request: Request) -> Response:
        """Take the slots of all names or none: `{"lease_id", "limits"}`. Names without a limit are ignored.

        423 with `Retry-After` while they are taken, 422 if there are fewer than wanted at all. A task run
        that asks for the slots of its tags again, as when the answer was lost, hears of the lease it has.
        """
        body = read(LeaseInput, request)
        lease_id = _lease_of(body)
        is_rate = body.get("mode") == "rate_limit"
        seconds = None if is_rate else body.get("lease_duration", LEASE_SECONDS)
        found = self._take(request, body, lease_id, seconds)
        holds = not is_rate and any(each["active"] for each in found)
        return Response({"lease_id": lease_id if holds else NOTHING_HELD, "limits": found})

    def _take(self, request: Request, body: Row, lease_id: UUID, seconds: float | None) -> Rows:
        """Take the slots, and say which limits there are of those names."""
        actor = actor_of(request)
        workspace = home_workspace(actor, Role.OPERATOR)
        wanted = limits.Wanted(
            workspace_id=workspace.id,
            lease_id=lease_id,
            names=body["names"],
            occupy=body["slots"],
            lease_seconds=seconds,
            stands_in_line=False,
            **_holder(actor, body.get("holder") or {}),
        )
        try:
            answer = limits.acquire(DjangoSession(), wanted)
        except limits.LimitError as error:
            raise ValidationError(str(error)) from error
        if answer.wait_seconds is not None:
            raise Locked(ASK_AGAIN if answer.wait_seconds == inf else answer.wait_seconds)
        found = ConcurrencyLimit.objects.filter(workspace=workspace, name__in=body["names"])
        return list(found.order_by("name").values("id", "name", "limit", "active"))

    @action(detail=False, methods=["post"], url_path="decrement-with-lease")
    def decrement_with_lease(self, request: Request) -> Response:
        """Free the slots of a lease: 204, also if they were free already."""
        lease_id = read(ReleaseInput, request)["lease_id"]
        limits.release(DjangoSession(), home_workspace(actor_of(request), Role.OPERATOR).id, lease_id)
        return Response(status=204)

    @action(detail=False, methods=["post"], url_path=f"leases/(?P<lease_id>{UUID_PATTERN})/renew")
    def renew(self, request: Request, lease_id: str) -> Response:
        """Hold the slots of a lease longer: 204; 410 if they are lost."""
        seconds = read(RenewInput, request).get("lease_duration", LEASE_SECONDS)
        workspace = home_workspace(actor_of(request), Role.OPERATOR)
        lease = UUID(lease_id)
        if lease != NOTHING_HELD and not limits.renew(DjangoSession(), workspace.id, lease, seconds):
            raise Gone(detail="This lease holds no slots any more: it has expired, or was given back.")
        return Response(status=204)

    def _limit(self, id_or_name: str) -> ConcurrencyLimit:
        """The limit. Raises NotFound also for one that the actor may not see."""
        wanted = Q(name=storable(id_or_name))
        with suppress(ValueError):  # a name
            wanted |= Q(id=UUID(id_or_name))
        return cast(ConcurrencyLimit, self.find(f"concurrency limit '{id_or_name}'", wanted))

    def _saved(self, limit: ConcurrencyLimit, values: Row) -> ConcurrencyLimit:
        for name, value in values.items():
            setattr(limit, name, value)
        with unless_taken(f"a concurrency limit '{limit.name}'"):
            limit.save()
        return limit

    def _as_json(self, limit: ConcurrencyLimit) -> Row:
        return self.shape([{name: getattr(limit, name) for name in self.columns}])[0]


def _lease_of(body: Row) -> UUID:
    """The lease to be given: always the same for the tags of a task run.

    Prefect's clients repeat a request whose answer was lost, and say nothing by which a repetition could be
    told from a second wish. But their engine takes the slots of a task run's tags once at a time.
    """
    holder, names = body.get("holder") or {}, sorted(body["names"])
    if holder.get("type") != "task_run" or not all(name.startswith(TAG) for name in names):
        return uuid7()
    return uuid5(holder["id"], json.dumps([names, body["slots"], body.get("mode")]))


def _holder(actor: Any, holder: Row) -> Row:
    """Who holds the slots, for people; those of a flow run that is ours are free when it is over."""
    if not holder:
        return {}
    kind, id = holder["type"], holder["id"]
    return {
        "flow_run_id": known_run(actor, id) if kind == "flow_run" else None,
        "task_run_id": id if kind == "task_run" else None,
        "holder": f"{kind.replace('_', ' ')} {id}",
    }
