"""Quarantine: a deployment whose last runs all crashed is paused, so that it harms nobody any more.

A crash costs more than a failure: a process, sometimes an agent or a host. It works as a fuse does: whoever
lifts the quarantine lets runs start again, and if the next one crashes too, it is back.
"""

import logging
from datetime import UTC, datetime
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from flows.models import Deployment
from flows.sdk.ids import uuid7
from runs.events import INSERT as INSERT_EVENTS
from runs.session import Transaction

logger = logging.getLogger(__name__)

# The last runs of one deployment are a short range of one index.
QUARANTINE = """
UPDATE flows_deployment d SET paused = true, quarantined = clock_timestamp(), updated = now()
FROM runs_flowrun this
WHERE this.id = %s AND d.id = this.deployment_id AND NOT d.paused
  AND (SELECT count(*) = %s AND bool_and(last.state_type = 'CRASHED') FROM (
      SELECT r.state_type FROM runs_flowrun r
      WHERE r.deployment_id = d.id AND r.end_time IS NOT NULL
      ORDER BY r.created DESC LIMIT %s
  ) last)
RETURNING d.id, d.workspace_id, (SELECT f.name FROM flows_flow f WHERE f.id = d.flow_id) || '/' || d.name
"""


def quarantine_if_poisoned(tx: Transaction, run_id: UUID) -> None:
    """Pause the deployment of a run that has just crashed for good, if its last runs all did.

    How many that takes is PORTAL_QUARANTINE_AFTER; 0 means never.
    """
    after = settings.PORTAL_QUARANTINE_AFTER
    if after <= 0:
        return
    for id, workspace_id, name in tx.execute(QUARANTINE, [run_id, after, after]):
        logger.warning("Deployment %s is in quarantine: its last %d runs all crashed", name, after)
        tx.execute(INSERT_EVENTS, [workspace_id, _event(id, name, run_id, after)])


def _event(deployment_id: UUID, name: str, run_id: UUID, crashes: int) -> str:
    """What automations can react to, as JSON."""
    resource = {"prefect.resource.id": f"prefect.deployment.{deployment_id}", "prefect.resource.name": name}
    cause = {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}
    event = {
        "id": uuid7(),
        "occurred": datetime.now(UTC),
        "event": "portal.deployment.quarantined",
        "resource": resource,
        "related": [cause],
        "payload": {"crashes": crashes},
        "follows": None,
    }
    return orjson.dumps([event]).decode()


def is_in_quarantine(deployment: Deployment) -> bool:
    """Whether it is paused by a quarantine, not by a person."""
    return deployment.paused and deployment.quarantined is not None


@transaction.atomic
def lift_quarantine(deployment_id: UUID) -> bool:
    """Let the runs of a deployment start again; False if it was not in quarantine."""
    deployment = Deployment.objects.select_for_update().get(id=deployment_id)
    if not is_in_quarantine(deployment):
        return False
    deployment.paused = False
    deployment.save(update_fields=["paused", "updated"])
    return True
