"""Concurrency limits: make and change them, see who holds their slots, take and free slots."""

from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Prefetch
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.models import Membership
from flows.scoping import Actor
from portal.access.actors import actor_of, home_workspace
from portal.api.base.fields import UUID_PATTERN, NumberField, TextField
from portal.api.base.resource import Row, Rows, read
from portal.api.concurrency_limits.tag_limits import TagLimits
from runs import limits
from runs.models import ConcurrencyLimit, FlowRun, Slot, Waiter
from runs.session import DjangoSession
from runs.slot_bell import bell

Role = Membership.Role
MOST_SLOTS = 1_000_000
MOST_LEASE_SECONDS = 86_400
MOST_WAIT_SECONDS = 5
# Each that waits for its turn holds a thread of the server.
_seats = BoundedSemaphore(50)


LIMIT_COLUMNS = ("id", "created", "updated", "name", "limit", "active", "slot_decay_per_second")


class LimitInput(serializers.Serializer[Any]):
    """The body of a create."""

    name = serializers.CharField(max_length=200)
    limit = serializers.IntegerField(min_value=0, max_value=MOST_SLOTS)
    active = serializers.BooleanField(required=False, allow_null=True)
    slot_decay_per_second = NumberField(required=False, allow_null=True, min_value=0)


class AcquireInput(serializers.Serializer[Any]):
    """The body of acquire. `lease_seconds` null: for a rate, whose slots decay."""

    lease_id = serializers.UUIDField()
    names = serializers.ListField(child=serializers.CharField(max_length=200), min_length=1, max_length=100)
    occupy = serializers.IntegerField(min_value=1, max_value=MOST_SLOTS)
    lease_seconds = NumberField(required=False, allow_null=True, min_value=1, max_value=MOST_LEASE_SECONDS)
    flow_run_id = serializers.UUIDField(required=False, allow_null=True)
    task_run_id = serializers.UUIDField(required=False, allow_null=True)
    holder = TextField(max_length=400)
    strict = serializers.BooleanField(required=False)


class RenewInput(serializers.Serializer[Any]):
    """The body of renew."""

    lease_seconds = NumberField(min_value=1, max_value=MOST_LEASE_SECONDS)


class TurnInput(serializers.Serializer[Any]):
    """The body of turn."""

    seconds = NumberField(min_value=0, max_value=MOST_WAIT_SECONDS)


class ConcurrencyLimits(TagLimits):
    """`/api/concurrency_limits`"""

    model = ConcurrencyLimit
    columns = LIMIT_COLUMNS
    ordering = "name"
    roles: ClassVar[Mapping[str, Role]] = {
        **TagLimits.roles,
        "create": Role.EDITOR,
        "destroy": Role.EDITOR,
        "acquire": Role.OPERATOR,
        "renew": Role.OPERATOR,
        "release": Role.OPERATOR,
        "turn": Role.OPERATOR,
    }

    def shape(self, rows: Rows) -> Rows:
        return with_holders(rows)

    def create(self, request: Request) -> Response:
        """Make the limit of this name, or change it: 201 or 200. Who holds slots keeps them.

        A body with a `tag` is of a Prefect client, and means the limit of that tag.
        """
        if isinstance(request.data, dict) and "tag" in request.data:
            return self.create_for_tag(request)
        body = read(LimitInput, request)
        workspace = home_workspace(actor_of(request), Role.EDITOR)
        limit, made = ConcurrencyLimit.objects.update_or_create(
            workspace=workspace, name=body.pop("name"), defaults=body
        )
        return Response(self.as_json(limit.id), status=201 if made else 200)

    def destroy(self, request: Request, pk: str) -> Response:
        """Remove the limit: from now on it holds nobody back."""
        self.get_object().delete()
        return Response(status=204)

    @action(detail=False, methods=["post"])
    def acquire(self, request: Request) -> Response:
        """Take the slots of all names or none.

        The answer is `{"granted", "missing", "retry_after", "blocked_by", "position"}`. Who gets none stands
        in line, at `position` (1 is next), as long as it asks again within 5 s. `retry_after` is in
        seconds, null if it depends on somebody who holds slots. 422 if there are fewer slots than wanted,
        if a rate is asked of a limit that is none, or with `strict` if a limit is missing.
        """
        body = read(AcquireInput, request)
        wanted = limits.Wanted(
            workspace_id=home_workspace(actor_of(request), Role.OPERATOR).id,
            lease_id=body["lease_id"],
            names=body["names"],
            occupy=body["occupy"],
            lease_seconds=body.get("lease_seconds"),
            flow_run_id=known_run(actor_of(request), body.get("flow_run_id")),
            task_run_id=body.get("task_run_id"),
            holder=body.get("holder", ""),
            strict=body.get("strict", False),
        )
        try:
            return Response(_as_json(limits.acquire(DjangoSession(), wanted)))
        except limits.LimitError as error:
            raise ValidationError(str(error)) from error

    @action(detail=False, methods=["post"], url_path=f"leases/(?P<lease_id>{UUID_PATTERN})/renew")
    def renew(self, request: Request, lease_id: str) -> Response:
        """Hold the slots of a lease longer: `{"held": false}` if they are lost."""
        seconds = read(RenewInput, request)["lease_seconds"]
        workspace = home_workspace(actor_of(request), Role.OPERATOR)
        return Response({"held": limits.renew(DjangoSession(), workspace.id, UUID(lease_id), seconds)})

    @action(detail=False, methods=["post"], url_path=f"leases/(?P<lease_id>{UUID_PATTERN})/release")
    def release(self, request: Request, lease_id: str) -> Response:
        """Free the slots of a lease, or leave the line: `{"released": false}` if it held none."""
        workspace = home_workspace(actor_of(request), Role.OPERATOR)
        return Response({"released": limits.release(DjangoSession(), workspace.id, UUID(lease_id))})

    @action(detail=False, methods=["post"], url_path=f"leases/(?P<lease_id>{UUID_PATTERN})/turn")
    def turn(self, request: Request, lease_id: str) -> Response:
        """Answer when it may be the turn of this lease, which stands in line: then acquire again.

        `{"waited": true}` after `seconds` at the latest; `{"waited": false}` at once, if too many wait.
        """
        seconds = read(TurnInput, request)["seconds"]
        home_workspace(actor_of(request), Role.OPERATOR)
        if not _seats.acquire(blocking=False):
            return Response({"waited": False})
        try:
            if not connection.in_atomic_block:
                connection.close()  # others need it meanwhile
            return Response({"waited": bell().rest(UUID(lease_id), seconds)})
        finally:
            _seats.release()


def known_run(actor: Actor, run_id: UUID | None) -> UUID | None:
    """The flow run that takes the slots; None for one that is not ours, such as one in a script's memory."""
    mine = FlowRun.objects.for_actor(actor)
    return run_id if run_id and mine.filter(id=run_id).exists() else None


def with_holders(rows: Rows) -> Rows:
    """Rows of limits, with who holds their slots and who waits for some."""
    found = ConcurrencyLimit.objects.filter(id__in=[row["id"] for row in rows])
    held = {limit.id: limit for limit in found.prefetch_related(_held_slots(), _line())}
    return [{**row, **_holders(held[row["id"]])} for row in rows]


def _as_json(answer: limits.Answer) -> Row:
    wait = answer.wait_seconds
    return {
        "granted": wait is None,
        "missing": answer.missing,
        "retry_after": None if wait == float("inf") else wait,
        "blocked_by": answer.blocked_by,
        "position": answer.position,
    }


def _held_slots() -> "Prefetch[str, Any, str]":
    return Prefetch("slots", Slot.held(), to_attr="held")


def _line() -> "Prefetch[str, Any, str]":
    return Prefetch("waiters", Waiter.present(), to_attr="line")


def _holders(limit: Any) -> Row:
    holders = [
        {
            "lease_id": slot.lease,
            "holder": slot.holder,
            "flow_run_id": slot.flow_run_id,
            "task_run_id": slot.task_run_id,
            "occupied": slot.occupied_now(limit.slot_decay_per_second),
            "acquired": slot.acquired,
            "expires": slot.expires,
        }
        for slot in limit.held
    ]
    waiters = [
        {
            "lease_id": waiter.lease,
            "holder": waiter.holder,
            "flow_run_id": waiter.flow_run_id,
            "wanted": waiter.wanted,
            "since": waiter.since,
        }
        for waiter in limit.line
    ]
    taken = sum(holder["occupied"] for holder in holders)
    return {"active_slots": taken, "holders": holders, "waiters": waiters}
