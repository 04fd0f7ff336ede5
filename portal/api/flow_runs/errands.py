"""Errands of isolated runs: their processes hand in calls of tasks for agents, and fetch the answers.

What is in a call or an answer is signed by whoever made it and verified by whoever opens it, as in
`portal.api.background_tasks`; here it is opaque. Only the token of the run itself opens these routes.
"""

from base64 import b64encode
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q
from pydantic import Base64Bytes, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from agents.models import WorkPool, WorkQueue
from agents.registry import BadQueueNameError, queue_for_errands
from flows.catalog.parameters import FieldError
from flows.models import Workspace
from flows.sdk.errand_counter import MOST_BYTES, Answered, NewErrand, unheld
from portal.api.base.errors import InvalidInput
from portal.api.base.parsers import ErrandsParser
from portal.api.base.resource import read, understood
from runs import announce, errands
from runs.run_tokens import RunToken
from runs.session import DjangoSession

ERRANDS = ("errand_queue", "exchange_errands", "look_at_errands", "take_errand_back")  # the actions
MOST_IDS = 20_000
SLACK = 64  # a signature


class QueueInput(serializers.Serializer[Any]):
    """The body of queue."""

    name = serializers.CharField(max_length=300)


class TakeBackInput(serializers.Serializer[Any]):
    """The body of take_back."""

    id = serializers.UUIDField()


class LookInput(serializers.Serializer[Any]):
    """The body of look."""

    work_queue_id = serializers.UUIDField()
    ids = serializers.ListField(child=serializers.UUIDField(), max_length=MOST_IDS)


@dataclass
class SentErrand:
    """A call for an agent: `payload` is signed, in base64."""

    id: UUID
    task_run_id: UUID | None
    name: Annotated[str, Field(max_length=500)]
    payload: Annotated[Base64Bytes, Field(max_length=MOST_BYTES + SLACK)]


Ids = Annotated[list[UUID], Field(max_length=MOST_IDS)]


@dataclass
class ExchangeInput:
    """The body of exchange."""

    work_queue_id: UUID
    new: list[SentErrand]
    done: Ids
    waiting: Ids


EXCHANGE = TypeAdapter(ExchangeInput)


class RunErrandActions(GenericViewSet[Any]):
    """The routes below a flow run at which its process reaches agents: see `flows.sdk.errand_counter`."""

    @action(detail=True, methods=["post"], url_path="errands/queue")
    def errand_queue(self, request: Request, pk: str) -> Response:
        """The queue `[pool/]queue` of this name, made if it is missing; 422 for one that cannot help."""
        attempt = _attempt_of(_token_of(request, pk))
        workspace = Workspace.objects.get(id=attempt.workspace_id)
        try:
            queue = queue_for_errands(read(QueueInput, request)["name"], workspace.name)
        except BadQueueNameError as error:
            raise InvalidInput(detail=str(error)) from error
        return Response({"work_queue_id": queue.id})

    @action(detail=True, methods=["post"], url_path="errands/exchange", parser_classes=[ErrandsParser])
    def exchange_errands(self, request: Request, pk: str) -> Response:
        """Put new errands, remove done ones, and read answers that are there, some at a time."""
        attempt = _attempt_of(_token_of(request, pk))
        body = understood(EXCHANGE, request)
        queue_id = _queue_in(attempt.workspace_id, body.work_queue_id)
        new = [NewErrand(each.id, each.task_run_id, each.name, each.payload) for each in body.new]
        with DjangoSession().transaction() as tx:
            found = errands.exchange(tx, attempt, queue_id, new, body.done, body.waiting)
            tx.on_commit(lambda: _ring(queue_id, len(new)))
        return Response({"answered": [_as_json(each) for each in found]})

    @action(detail=True, methods=["post"], url_path="errands/look")
    def look_at_errands(self, request: Request, pk: str) -> Response:
        """How it stands with errands of the run, by their ids."""
        attempt = _attempt_of(_token_of(request, pk))
        body = read(LookInput, request)
        queue_id = _queue_in(attempt.workspace_id, body["work_queue_id"])
        with DjangoSession().transaction() as tx:
            seen = errands.look(tx, attempt, body["ids"])
        _ring(queue_id, unheld(seen.values()))
        return Response({"seen": {str(id): asdict(each) for id, each in seen.items()}})

    @action(detail=True, methods=["post"], url_path="errands/take_back")
    def take_errand_back(self, request: Request, pk: str) -> Response:
        """Remove an errand that no agent has taken: `{"taken": false}` if one was faster."""
        attempt = _attempt_of(_token_of(request, pk))
        with DjangoSession().transaction() as tx:
            return Response({"taken": errands.take_back(tx, attempt, read(TakeBackInput, request)["id"])})


def _token_of(request: Request, pk: str) -> RunToken:
    """The token of this run. Raises NotFound for any other."""
    token = request.auth
    if not isinstance(token, RunToken) or token.run_id != UUID(pk):
        raise NotFound
    return token


def _attempt_of(token: RunToken) -> errands.Attempt:
    assert token.workspace_id is not None, "the permission has refused tokens that ended"
    return errands.Attempt(token.workspace_id, token.run_id, token.attempt)


def _queue_in(workspace_id: UUID, queue_id: UUID) -> UUID:
    """Raises InvalidInput for one whose agents cannot help runs of this workspace."""
    can_help = Q(work_pool__workspace_id=workspace_id, work_pool__type=WorkPool.Type.AGENTS)
    if not WorkQueue.objects.filter(can_help, id=queue_id).exists():
        raise InvalidInput([FieldError("work_queue_id", "is no queue of agents in this workspace")])
    return queue_id


def _ring(queue_id: UUID, wanted: int) -> None:
    """Wake as many agents as there is work for."""
    if wanted:
        for _ in range(min(wanted, errands.agents_serving(DjangoSession(), queue_id))):
            announce.ring(queue_id)


def _as_json(found: Answered) -> dict[str, Any]:
    answer = None if found.answer is None else b64encode(found.answer).decode()
    return {"id": found.id, "answer": answer, "lost": found.lost}
