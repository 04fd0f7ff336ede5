"""Who is there: the queues that agents serve, by name, and the agents themselves."""

import logging
import os
import platform
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now

from agents.models import Agent, WorkPool, WorkQueue
from agents.models.work_pool import DEFAULT_POOL
from flows.models import Workspace
from flows.models.workspace import DEFAULT_WORKSPACE, NAME_RULE
from flows.sdk.ids import uuid7
from runs.acting import Who
from runs.session import Session

logger = logging.getLogger(__name__)

OFFLINE_AFTER = timedelta(seconds=20)


class BadQueueNameError(ValueError):
    """A queue name that cannot be: wrong form, or an unknown workspace or pool. The text says which."""


def resolve(name: str, workspace: str = DEFAULT_WORKSPACE) -> WorkQueue:
    """The work queue called `[workspace/][pool/]queue`, made if it is missing.

    Without a workspace it is looked for in `workspace`, without a pool in the pool "default".
    Workspaces and pools other than the default pool must exist: a typo should not make one.
    Raises BadQueueNameError.
    """
    workspace_name, pool_name, queue_name = _split(name, workspace)
    try:
        home = Workspace.objects.get(name=workspace_name)
    except Workspace.DoesNotExist:
        raise BadQueueNameError(f"Queue '{name}': there is no workspace '{workspace_name}'.") from None
    queue, made = WorkQueue.objects.get_or_create(work_pool=_pool(home, pool_name, name), name=queue_name)
    if made:
        logger.info("Made work queue %s/%s/%s, which did not exist", workspace_name, pool_name, queue_name)
    return queue


def queue_for_errands(name: str, workspace: str) -> WorkQueue:
    """The queue `[pool/]queue` whose agents may help flows of this workspace, made if it is missing.

    Raises BadQueueNameError, also for one whose agents do not fork: they start a program for each run.
    """
    if name.count("/") > 1:
        raise BadQueueNameError(
            f"Queue '{name}': tasks stay in the workspace of their flow. Name it [pool/]queue."
        )
    queue = resolve(name, workspace)
    pool = queue.work_pool
    if pool.type != WorkPool.Type.AGENTS:
        raise BadQueueNameError(
            f"Queue '{name}': tasks can only be sent to a pool of the kind 'agents', and '{pool.name}' is of "
            f"the kind '{pool.type}'. Name another queue: AgentsTaskRunner(queue=...)."
        )
    return queue


def _split(name: str, workspace: str) -> tuple[str, str, str]:
    parts = name.split("/")
    if len(parts) > 3:
        raise BadQueueNameError(f"Queue '{name}': a name has at most three parts, [workspace/][pool/]queue.")
    for part in parts:
        try:
            NAME_RULE(part)
        except ValidationError as error:
            raise BadQueueNameError(f"Queue '{name}': {error.message}") from None
    workspace_name, pool_name = [workspace, DEFAULT_POOL, *parts][-3:-1]
    return (workspace_name if len(parts) == 3 else workspace), pool_name, parts[-1]


def _pool(workspace: Workspace, pool_name: str, name: str) -> WorkPool:
    if pool_name == DEFAULT_POOL:
        pool, _ = WorkPool.objects.get_or_create(workspace=workspace, name=pool_name)
        return pool
    try:
        return WorkPool.objects.get(workspace=workspace, name=pool_name)
    except WorkPool.DoesNotExist:
        raise BadQueueNameError(
            f"Queue '{name}': there is no work pool '{pool_name}' in workspace '{workspace.name}'."
        ) from None


def spoken_name(queue: WorkQueue) -> str:
    """The queue as one types it: `[workspace/][pool/]queue`, without what is understood."""
    pool = queue.work_pool
    if pool.workspace.name != DEFAULT_WORKSPACE:
        return f"{pool.workspace.name}/{pool.name}/{queue.name}"
    return queue.name if pool.name == DEFAULT_POOL else f"{pool.name}/{queue.name}"


def online_agents(*queue_ids: UUID) -> QuerySet[Agent]:
    """The agents that take runs of any of these queues and were lately seen, by the database's clock."""
    return Agent.objects.filter(
        queues__overlap=list(queue_ids),
        stopped__isnull=True,
        draining__isnull=True,
        last_seen__gt=Now() - OFFLINE_AFTER,
    )


def _version() -> str:
    try:
        return version("portal-orchestrator")
    except PackageNotFoundError:  # run from a checkout
        return ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an agent says of itself, once for each start of the process."""

    name: str
    queue_ids: tuple[UUID, ...]
    id: UUID = field(default_factory=uuid7)
    hostname: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    version: str = field(default_factory=_version)
    python: str = field(default_factory=platform.python_version)

    def as_actor(self) -> Who:
        """How what it does is signed."""
        return {"type": "AGENT", "id": str(self.id), "display_value": self.name}


_BEAT = """
INSERT INTO agents_agent
    (id, name, hostname, pid, version, python, queues, started, last_seen, draining, capacity, refused)
VALUES (%s, %s, %s, %s, %s, %s, %s::uuid[], now(), now(), CASE WHEN %s THEN now() END, 1, '')
ON CONFLICT (id) DO UPDATE
SET last_seen = now(), draining = coalesce(agents_agent.draining, excluded.draining)
"""


def beat(session: Session, agent: Identity, draining: bool = False) -> None:
    """Say that the agent lives. The first beat writes its row; so does one after the row was deleted.

    `draining`: it finishes what it executes, and takes no other run.
    """
    itself = [agent.id, agent.name, agent.hostname, agent.pid, agent.version, agent.python]
    with session.transaction() as transaction:
        transaction.execute(_BEAT, [*itself, list(agent.queue_ids), draining])


_REFUSE = """
INSERT INTO agents_agent
    (id, name, hostname, pid, version, python, queues, started, last_seen, stopped, capacity, refused)
VALUES (%s, %s, %s, %s, %s, %s, %s::uuid[], now(), now(), now(), 1, %s)
"""


def refuse(session: Session, agent: Identity, because: str) -> None:
    """Let people see that an agent wanted to serve, and why it may not."""
    itself = [agent.id, agent.name, agent.hostname, agent.pid, agent.version, agent.python]
    with session.transaction() as transaction:
        transaction.execute(_REFUSE, [*itself, list(agent.queue_ids), because])


def sign_off(session: Session, agent: Identity) -> None:
    """Say that the agent stopped of its own will."""
    with session.transaction() as transaction:
        transaction.execute("UPDATE agents_agent SET stopped = now() WHERE id = %s", [agent.id])
