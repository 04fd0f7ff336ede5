"""Changing and deleting flow runs."""

from functools import partial

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.base.errors import Conflict
from portal.api.base.fields import LabelsField
from portal.api.base.resource import Resource, Row, read
from portal.api.flow_runs.inputs import ChangeInput, check_storable
from runs import announce
from runs.models import FlowRun
from runs.removal import delete_run

# What the process that executes a run goes by: nobody else changes it under way.
OF_PROCESS = ("parameters", "job_variables", "flow_version", "empirical_policy", "infrastructure_pid")


class FlowRunChanges(Resource):
    """PATCH and DELETE of `/api/flow_runs`."""

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what the body names: 204. 409 for what its process goes by, while an agent executes it."""
        run: FlowRun = self.get_object()
        changes = read(ChangeInput, request)
        check_storable(changes)
        with transaction.atomic():
            self._change(_locked(run), changes)
        return Response(status=204)

    @action(detail=True, methods=["patch"])
    def labels(self, request: Request, pk: str) -> Response:
        """Add labels, or change those of the same names: 204."""
        run: FlowRun = self.get_object()
        given = LabelsField().run_validation(request.data)
        with transaction.atomic():
            locked = _locked(run)
            both = LabelsField().run_validation({**(locked.labels or {}), **given})
            self._change(locked, {"labels": both})
        return Response(status=204)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete the run with all that belongs to it: 204. 409 while an agent executes it."""
        run: FlowRun = self.get_object()
        delete_run(run.id, lambda locked: _refuse_if_owned(locked, "deleted"))
        return Response(status=204)

    def _change(self, run: FlowRun, changes: Row) -> None:
        if not changes:
            return
        if any(name in changes for name in OF_PROCESS):
            _refuse_if_owned(run, "changed like this")
        FlowRun.objects.filter(id=run.id).update(**changes, version=F("version") + 1, updated=Now())
        now = FlowRun.objects.values_list("workspace_id", "version", "state_type", "state_name")
        changed = announce.RunChanged(run.id, *now.get(id=run.id))
        transaction.on_commit(partial(announce.publish, changed))


def _locked(run: FlowRun) -> FlowRun:
    """The run as it stays until the transaction ends: an agent may be about to claim it."""
    runs = FlowRun.objects.select_for_update(of=("self",)).select_related("root_run")
    locked: FlowRun = runs.get(id=run.id)
    return locked


def _refuse_if_owned(run: FlowRun, what: str) -> None:
    if run.lease_expires is not None or (run.root_run and run.root_run.lease_expires is not None):
        raise Conflict(detail=f"This run cannot be {what}: it is {run.state_name}. Cancel it first.")
