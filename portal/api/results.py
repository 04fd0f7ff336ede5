"""Results that tasks share by cache key, and what runs keep for themselves. Nobody here opens them."""

from base64 import b64encode
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from flows.models import Membership
from portal.access.actors import actor_of, home_workspace, need_role
from portal.api.base.errors import Conflict
from portal.api.base.resource import read
from runs.models import FlowRun
from runs.results import find_result, lock_result, signer_of
from runs.run_tokens import RunToken
from runs.session import DjangoSession

HASH = "[0-9a-f]{64}"
# Whoever has the key and may write results can have agents run code, as whoever deploys can.
READERS = Membership.Role.EDITOR


class Results(ViewSet):
    """`/api/results`: what is shared within the workspace."""

    lookup_value_regex = HASH

    def retrieve(self, request: Request, pk: str) -> Response:
        """The result whose key has this hash, in base64."""
        workspace = home_workspace(actor_of(request), READERS)
        return _answer(workspace.id, pk, None)

    @action(detail=False)
    def signing_keys(self, request: Request) -> Response:
        """The keys of the workspace's results, in hexadecimal: the first signs, all verify."""
        workspace = home_workspace(actor_of(request), READERS)
        answer = Response(signer_of(workspace.id).as_answer())
        answer["Cache-Control"] = "no-store"
        return answer


class LockInput(serializers.Serializer[Any]):
    """The body of a lock."""

    hash = serializers.RegexField(f"^{HASH}$")
    holder = serializers.CharField(max_length=100)
    attempt = serializers.IntegerField(min_value=0)


class RunResultActions(GenericViewSet[Any]):
    """The routes below a flow run that read its results and lock keys for it."""

    @action(detail=True, url_path=f"results/(?P<hash>{HASH})")
    def result(self, request: Request, pk: str, hash: str) -> Response:
        """What the run keeps for itself under the key with this hash, in base64."""
        run = self._run_of_results(request)
        return _answer(run.workspace_id, hash, run.id, run.result_scope)

    @action(detail=True, methods=["post"])
    def lock_result(self, request: Request, pk: str) -> Response:
        """Lock a key that the run is computing: `{"held": false}` while another run does."""
        run = self._run_of_results(request)
        body = read(LockInput, request)
        attempt = request.auth.attempt if isinstance(request.auth, RunToken) else body["attempt"]
        if isinstance(request.auth, RunToken) and run.id != request.auth.run_id:
            raise Conflict(detail="Another run's process locks for that run.")
        with DjangoSession().transaction() as tx:
            return Response({"held": lock_result(tx, run.id, attempt, body["hash"], body["holder"])})

    def _run_of_results(self, request: Request) -> FlowRun:
        run: FlowRun = self.get_object()
        need_role(actor_of(request), READERS, run.workspace_id)
        return run


def _answer(workspace_id: UUID, hash: str, run_id: UUID | None, scope: UUID | None = None) -> Response:
    """`scope`: the run that this one is made after, whose results it shares."""
    with DjangoSession().transaction() as tx:
        signed = find_result(tx, workspace_id, hash, run_id)
        if signed is None and scope:
            signed = find_result(tx, workspace_id, hash, scope)
    if signed is None:
        raise NotFound("There is no result of this key.")
    return Response({"data": b64encode(signed).decode()})
