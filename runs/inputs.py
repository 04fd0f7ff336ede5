"""Rows of `RunInput`: what was left for a run, by key."""

import json
from collections.abc import Collection
from uuid import UUID

from flows.sdk.backend import SentInput
from flows.sdk.ids import uuid7
from runs.session import Transaction

PUT = """
INSERT INTO runs_runinput (id, flow_run_id, key, value, sender, created)
SELECT %s, r.id, %s, %s, %s, clock_timestamp() FROM runs_flowrun r WHERE r.id = %s
ON CONFLICT (flow_run_id, key) DO UPDATE SET value = excluded.value, sender = excluded.sender
RETURNING id
"""
READ = "SELECT key, value, sender FROM runs_runinput WHERE flow_run_id = %s AND key = %s"
LIST = """
SELECT key, value, sender FROM runs_runinput
WHERE flow_run_id = %s AND starts_with(key, %s) AND NOT key = ANY(%s)
ORDER BY created, id LIMIT 200
"""
FORGET = "DELETE FROM runs_runinput WHERE flow_run_id = %s AND key = %s RETURNING id"


def put_input(tx: Transaction, run_id: UUID, sent: SentInput) -> None:
    """Leave a value for a run. Raises LookupError if there is no such run."""
    value = json.dumps(sent.value)
    if not tx.execute(PUT, [uuid7(), sent.key, value, sent.sender, run_id]):
        raise LookupError(f"there is no flow run {run_id}")


def read_input(tx: Transaction, run_id: UUID, key: str) -> SentInput | None:
    rows = tx.execute(READ, [run_id, key])
    return _sent(*rows[0]) if rows else None


def list_inputs(tx: Transaction, run_id: UUID, prefix: str, but: Collection[str]) -> list[SentInput]:
    """Oldest first, 200 at most."""
    return [_sent(*row) for row in tx.execute(LIST, [run_id, prefix, list(but)])]


def forget_input(tx: Transaction, run_id: UUID, key: str) -> bool:
    """Whether there was something under this key."""
    return bool(tx.execute(FORGET, [run_id, key]))


def _sent(key: str, value: str, sender: str) -> SentInput:
    return SentInput(key, json.loads(value), sender)
