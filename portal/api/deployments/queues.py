"""The queue of a deployment: Portal's own are run by agents, Prefect's by Prefect's processes, and they
never change sides, since neither can load the other's code."""

from uuid import UUID

from django.db.models import Max
from rest_framework.exceptions import NotFound

from agents.models import WorkPool, WorkQueue
from agents.models.work_pool import DEFAULT_POOL
from agents.models.work_queue import DEFAULT_QUEUE
from agents.pools import is_for_prefect
from agents.registry import BadQueueNameError, resolve
from flows.catalog.parameters import FieldError
from flows.models import Deployment, Workspace
from portal.api.base.errors import Conflict, InvalidInput
from portal.api.base.resource import Row

FOR_AGENTS = (
    "The work pool '{pool}' is served by Portal's agents, which cannot run Prefect's code. Deploy to a pool "
    "of Prefect workers (prefect work-pool create NAME --type process), or write the flow with "
    "`from flows import flow` and deploy it with `python manage.py deploy`."
)
FOR_PREFECT = (
    "The work pool '{pool}' is polled by Prefect's workers, which cannot run a deployment of Portal. "
    "Name a pool of agents."
)


def agents_queue(workspace: Workspace, body: Row) -> UUID:
    """The queue that the body of a Portal client names, made if missing, always within `workspace`."""
    pool = body.get("work_pool_name") or DEFAULT_POOL
    queue = body.get("work_queue_name") or DEFAULT_QUEUE
    try:
        return resolve(f"{workspace.name}/{pool}/{queue}").id
    except BadQueueNameError as error:
        raise InvalidInput([FieldError("work_queue_name", str(error))]) from error


def prefect_queue(workspace: Workspace, body: Row) -> UUID | None:
    """The queue that the body of a Prefect client names, made if missing, after all others of its pool.

    None without a pool: a process that serves the deployment fetches its runs. 404 for a pool that is not
    there, 409 for one that agents serve.
    """
    name = body.get("work_pool_name")
    if not name:
        return None
    pool: WorkPool | None = WorkPool.objects.filter(workspace=workspace, name=name).first()
    if pool is None:
        raise NotFound(f"There is no work pool '{name}'. Make it first: prefect work-pool create {name}")
    if pool.type != WorkPool.Type.PREFECT:
        raise Conflict(detail=FOR_AGENTS.format(pool=name))
    return _queue_in(pool, body.get("work_queue_name") or DEFAULT_QUEUE).id


def _queue_in(pool: WorkPool, name: str) -> WorkQueue:
    found: WorkQueue | None = pool.queues.filter(name=name).first()
    if found is not None:
        return found
    new = WorkQueue(work_pool=pool, name=name)
    new.clean_fields(exclude=["work_pool"])
    last = pool.queues.aggregate(last=Max("priority"))["last"] or 0
    return WorkQueue.objects.get_or_create(work_pool=pool, name=name, defaults={"priority": last + 1})[0]


def moved_queue(deployment: Deployment, body: Row) -> UUID | None:
    """The queue to which a change moves a deployment. A queue alone is one of its present pool.

    409 if the new pool is of the other side.
    """
    present = deployment.work_queue.work_pool.name if deployment.work_queue else None
    wanted = {
        "work_pool_name": body.get("work_pool_name") or present,
        "work_queue_name": body.get("work_queue_name"),
    }
    if is_for_prefect(deployment):
        return prefect_queue(deployment.workspace, wanted)
    pools = WorkPool.objects.filter(workspace=deployment.workspace, name=wanted["work_pool_name"])
    if pools.filter(type=WorkPool.Type.PREFECT).exists():
        raise Conflict(detail=FOR_PREFECT.format(pool=wanted["work_pool_name"]))
    return agents_queue(deployment.workspace, wanted)
