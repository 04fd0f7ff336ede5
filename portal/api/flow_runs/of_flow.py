"""Flow runs that Prefect's clients make of a flow, without a deployment."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import WorkQueue
from agents.models.work_pool import CLAIMED_BY_AGENTS
from agents.models.work_queue import DEFAULT_QUEUE
from flows.catalog.parameters import FieldError
from flows.models import Flow, Membership
from flows.sdk.names import random_name
from flows.sdk.states import Pending
from portal.access.actors import actor_of, created_by, need_role
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.resource import Resource, Row, read
from portal.api.flow_runs.inputs import RunOfFlowInput, check_storable
from portal.api.flow_runs.parents import parent_of
from portal.api.flow_runs.state_inputs import state_from
from runs.by_flow import Told, make_run_of_flow, root_of_subflow
from runs.create import NewRun
from runs.session import DjangoSession, Transaction
from runs.transition import scheduled_time_of

TOLD = ("flow_version", "empirical_policy", "context")


class RunsOfFlows(Resource):
    """What POST of `/api/flow_runs` does with the body of a Prefect client."""

    def create_of_flow(self, request: Request) -> Response:
        """Make a run of a flow: 201, or 200 with the one that its idempotency key made. 409: no such flow."""
        body = read(RunOfFlowInput, request)
        flow = _flow_of(request, body["flow_id"])
        check_storable(body)
        told = Told(**{name: body[name] for name in TOLD if name in body})
        with DjangoSession().transaction() as tx:
            run_id, is_new = make_run_of_flow(tx, _new_run(tx, request, flow, body), told)
        return Response(self.as_json(run_id), status=201 if is_new else 200)


def _flow_of(request: Request, flow_id: UUID) -> Flow:
    actor = actor_of(request)
    flow: Flow | None = Flow.objects.for_actor(actor).filter(id=flow_id).first()
    if flow is None:
        raise Conflict(detail=f"There is no flow {flow_id}, or you may not see it.")
    need_role(actor, Membership.Role.OPERATOR, flow.workspace_id)
    return flow


def _new_run(tx: Transaction, request: Request, flow: Flow, body: Row) -> NewRun:
    parent = parent_of(request, body)
    state = state_from(body["state"]) if "state" in body else Pending()
    return NewRun(
        workspace_id=flow.workspace_id,
        flow_id=flow.id,
        name=body.get("name") or random_name(),
        parameters=body.get("parameters", {}),
        job_variables=body.get("job_variables", {}),
        tags=tuple(body.get("tags", ())),
        labels=body.get("labels"),
        idempotency_key=body.get("idempotency_key") or None,
        created_by=created_by(request),
        work_queue_id=_queue_of(request, flow, body),
        parent_task_run_id=parent,
        root_run_id=root_of_subflow(tx, parent) if parent else None,
        scheduled_time=scheduled_time_of(state),
        state=state,
    )


def _queue_of(request: Request, flow: Flow, body: Row) -> UUID | None:
    """The queue of a pool that Prefect workers poll; None: its maker executes it. Raises InvalidInput."""
    pool = body.get("work_pool_name")
    if not pool:
        return None
    name = body.get("work_queue_name") or DEFAULT_QUEUE
    found = WorkQueue.objects.for_actor(actor_of(request)).select_related("work_pool")
    queue: WorkQueue | None = found.filter(
        work_pool__workspace=flow.workspace_id, work_pool__name=pool, name=name
    ).first()
    if queue is None:
        raise InvalidInput([FieldError("work_pool_name", f"there is no queue '{name}' in a pool '{pool}'")])
    if queue.work_pool.type in CLAIMED_BY_AGENTS:
        text = f"'{pool}' is served by Portal's agents, which execute deployments: choose a Prefect pool"
        raise InvalidInput([FieldError("work_pool_name", text)])
    return queue.id
