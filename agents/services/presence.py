"""Presence: makes events of agents that come, stop, are lost and come back."""

from datetime import datetime

from agents.registry import OFFLINE_AFTER
from agents.services.database import alone
from runs.session import DjangoSession

# `presence` is what was last told of an agent; who differs is told of, once in each workspace that it
# serves. One that was gone before anybody looked is no news.
TELL = """
WITH fact AS (
    SELECT id, presence AS told,
           CASE WHEN stopped IS NOT NULL THEN 'stopped'
                WHEN last_seen < %s THEN 'lost' ELSE 'online' END AS now
    FROM agents_agent
), changed AS (
    UPDATE agents_agent a SET presence = fact.now
    FROM fact WHERE fact.id = a.id AND fact.now <> fact.told
    RETURNING a.*, fact.told
), news AS (
    SELECT DISTINCT p.workspace_id, c.id, c.name, c.hostname, c.presence, c.last_seen, c.version
    FROM changed c
    JOIN agents_workqueue q ON q.id = ANY(c.queues)
    JOIN agents_workpool p ON p.id = q.work_pool_id
    WHERE c.told <> '' OR c.presence = 'online'
)
INSERT INTO runs_event
    (id, occurred, workspace_id, event, resource_id, resource, related, payload, received)
SELECT gen_random_uuid(), clock_timestamp(), workspace_id, 'portal.agent.' || presence, 'portal.agent.' || id,
       jsonb_build_object('prefect.resource.id', 'portal.agent.' || id, 'prefect.resource.name', name),
       '[]',
       jsonb_build_object('hostname', hostname, 'version', version, 'last_seen', last_seen),
       clock_timestamp()
FROM news
"""


def tell_of_agents(now: datetime) -> None:
    """Tell of every agent that is not as it was last told of."""
    with alone("presence") as mine:
        if mine:
            with DjangoSession().transaction() as tx:
                tx.execute(TELL, [now - OFFLINE_AFTER])
