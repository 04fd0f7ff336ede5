"""Storing events that flows emit. Those of flow-run states are made by a trigger of the history table."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from flows.catalog.json_text import json_text
from runs import announce
from runs.session import Session

INSERT = """
INSERT INTO runs_event
    (id, occurred, workspace_id, event, resource_id, resource, related, payload, follows, received)
SELECT e.id, e.occurred, %s, e.event, e.resource ->> 'prefect.resource.id', e.resource, e.related,
       e.payload, e.follows, clock_timestamp()
FROM json_to_recordset(%s::json) AS e(
    id uuid, occurred timestamptz, event text, resource jsonb, related jsonb, payload jsonb, follows uuid)
ON CONFLICT DO NOTHING
RETURNING id
"""


def store_events(session: Session, workspace_id: UUID, events: Sequence[Mapping[str, Any]]) -> list[UUID]:
    """Store events; return the ids of those that were not there before."""
    rows = json_text(list(events), default=str)
    with session.transaction() as tx:
        stored = [row[0] for row in tx.execute(INSERT, [workspace_id, rows])]
        if stored:
            tx.on_commit(partial(announce.publish, announce.EventsStored(workspace_id)))
        return stored
