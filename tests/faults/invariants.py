"""What must hold after every fault. The database is asked, not the logs.

`assert_invariants` and `assert_bounded` run at the end of every test that has a `stage`. Each invariant is a
query for what breaks it, so that a failure shows the rows themselves.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from agents.claim import LEASE_SECONDS
from agents.services.steadiness import GAP
from tests.processes import Child, wait_until

# The state machine: what may follow what in the history of a flow run. A run that its script
# executes starts without PENDING; one that is cancelled while its process waits for its next try has to be
# told; only SCHEDULED reopens what has ended.
ENDS = {"CANCELLED", "COMPLETED", "FAILED", "CRASHED"}
LEGAL = {
    None: {"SCHEDULED", "PENDING", "RUNNING"},
    "SCHEDULED": {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", *ENDS - {"COMPLETED"}},
    "PENDING": {"SCHEDULED", "RUNNING", "CANCELLING", *ENDS - {"COMPLETED"}},
    "RUNNING": {"SCHEDULED", "RUNNING", "PAUSED", "CANCELLING", *ENDS},
    "PAUSED": {"PAUSED", "SCHEDULED", "RUNNING", "CANCELLING", *ENDS - {"COMPLETED"}},
    "CANCELLING": ENDS - {"COMPLETED"},
    **{end: {"SCHEDULED"} for end in ENDS},
}

SETTLING_SECONDS = 20.0

_OVER = "('CANCELLED', 'COMPLETED', 'FAILED', 'CRASHED')"
_HISTORY = """
WITH step AS (
    SELECT flow_run_id, type, attempt, id,
           lag(type) OVER w AS before, lag(attempt) OVER w AS attempt_before,
           row_number() OVER (PARTITION BY flow_run_id ORDER BY timestamp DESC, id DESC) AS age
    FROM runs_flowrunstate WINDOW w AS (PARTITION BY flow_run_id ORDER BY timestamp, id)
)
"""


@dataclass(frozen=True, slots=True)
class Invariant:
    """`offenders` is SQL whose rows break it. `settles`: only rows that stay do."""

    text: str
    offenders: str
    settles: bool = False


INVARIANTS = (
    Invariant(
        "no run is lost: each is over, waits for an agent, waits for people, or is owned by a lease",
        f"""
        SELECT id, name, state_name FROM runs_flowrun
        WHERE root_run_id IS NULL AND state_type NOT IN {_OVER}
          AND lease_expires IS NULL AND state_type NOT IN ('SCHEDULED', 'PAUSED')
        """,
    ),
    Invariant(
        "a run that waits for an agent has a queue in which one can find it",
        """
        SELECT id, name, state_name FROM runs_flowrun
        WHERE state_type = 'SCHEDULED' AND deployment_id IS NOT NULL AND work_queue_id IS NULL
        """,
    ),
    Invariant(
        "a lease that nobody renews is ended in time by a reaper that works",
        f"""
        SELECT r.id, r.name, r.lease_expires FROM runs_flowrun r
        JOIN agents_servicestatus reaper ON reaper.name = 'reap'
        WHERE reaper.last_success > clock_timestamp() - interval '5 seconds'
          AND r.lease_expires < clock_timestamp()
              - interval '{LEASE_SECONDS + GAP.total_seconds()} seconds'
        """,
        settles=True,
    ),
    Invariant(
        "a run that is over is owned by nobody",
        f"SELECT id, name FROM runs_flowrun WHERE state_type IN {_OVER} AND lease_expires IS NOT NULL",
    ),
    Invariant(
        "an agent that is alone with one process owns at most one run",
        """
        SELECT agent_id, count(*) FROM runs_flowrun
        WHERE lease_expires > clock_timestamp() AND agent_id IS NOT NULL AND root_run_id IS NULL
        GROUP BY agent_id HAVING count(*) > 1
        """,
    ),
    Invariant(
        "the history of a run is a path through the state machine",
        f"""{_HISTORY}
        SELECT flow_run_id, before, type FROM step
        WHERE NOT EXISTS (SELECT FROM (VALUES {{legal}}) AS l(earlier, later)
                          WHERE l.earlier IS NOT DISTINCT FROM step.before AND l.later = step.type)
        """,
    ),
    Invariant(
        "every claim is a new attempt, and attempts only grow",
        f"""{_HISTORY}
        SELECT flow_run_id, attempt_before, step.attempt, type FROM step
        JOIN runs_flowrun r ON r.id = flow_run_id
        WHERE r.root_run_id IS NULL AND r.agent_id IS NOT NULL
          AND (step.attempt < attempt_before OR (type = 'PENDING' AND step.attempt <= attempt_before))
        """,
    ),
    Invariant(
        "one accepted end per attempt",
        f"""
        SELECT flow_run_id, attempt, array_agg(type ORDER BY timestamp) FROM runs_flowrunstate
        WHERE type IN {_OVER} AND attempt > 0 AND name <> 'Cancelled'
        GROUP BY flow_run_id, attempt HAVING count(*) > 1
        """,
    ),
    Invariant(
        "a run is in the state that its history ends with",
        f"""{_HISTORY}
        SELECT r.id, r.state_name, step.type FROM runs_flowrun r JOIN step ON step.flow_run_id = r.id
        WHERE step.age = 1 AND r.state_id <> step.id
        """,
    ),
    Invariant(
        "what belongs to a run that is over is over, too",
        f"""
        SELECT t.id, t.name, t.state_name FROM runs_taskrun t JOIN runs_flowrun r ON r.id = t.flow_run_id
        WHERE r.state_type IN {_OVER} AND t.state_type NOT IN {_OVER}
        UNION ALL
        SELECT s.id, s.name, s.state_name FROM runs_flowrun s JOIN runs_flowrun r ON r.id = s.root_run_id
        WHERE r.state_type IN {_OVER} AND s.state_type NOT IN {_OVER}
        """,
    ),
    Invariant(
        "a task run is in the state of its newest report, and no report came twice",
        """
        SELECT t.id, t.name, t.state_name FROM runs_taskrun t
        WHERE t.state_id <> (SELECT id FROM runs_taskrunstate s WHERE s.task_run_id = t.id
                             ORDER BY s.attempt DESC, s.sequence DESC LIMIT 1)
        UNION ALL
        SELECT task_run_id, min(name), count(*)::text FROM runs_taskrunstate
        GROUP BY task_run_id, attempt, sequence HAVING count(*) > 1
        """,
    ),
    Invariant(
        "slots are held by runs that somebody executes, and never more than there are",
        f"""
        SELECT s.id::text, s.holder, s.occupied FROM runs_slot s JOIN runs_flowrun r ON r.id = s.flow_run_id
        WHERE s.expires > clock_timestamp() AND NOT s.decays AND r.state_type = 'SCHEDULED'
          AND r.lease_expires IS NULL
        UNION ALL
        SELECT l.name, 'of ' || l."limit", sum(s.occupied) FROM runs_slot s
        JOIN runs_concurrencylimit l ON l.id = s.limit_id
        LEFT JOIN runs_flowrun r ON r.id = s.flow_run_id
        WHERE s.expires > clock_timestamp() AND NOT s.decays
          AND (r.id IS NULL OR r.state_type NOT IN {_OVER})
        GROUP BY l.name, l."limit" HAVING sum(s.occupied) > l."limit"
        """,
    ),
    Invariant(
        "one run per tick of a schedule",
        """
        SELECT schedule_id, slot, count(*) FROM runs_flowrun WHERE schedule_id IS NOT NULL
        GROUP BY schedule_id, slot HAVING count(*) > 1
        """,
    ),
    Invariant(
        "logs are complete up to the end, or up to where the process was killed",
        """
        SELECT r.id, r.state_name, count(DISTINCT n) || ' of ' || max(n) || ', written ' || max(total)
        FROM (SELECT flow_run_id, (regexp_match(message, '^line (\\d+) of (\\d+)'))[1]::int AS n,
                     (regexp_match(message, '^line (\\d+) of (\\d+)'))[2]::int AS total
              FROM runs_log WHERE message ~ '^line \\d+ of \\d+') AS line
        JOIN runs_flowrun r ON r.id = flow_run_id
        GROUP BY r.id, r.state_name, r.state_type
        HAVING count(DISTINCT n) <> max(n) OR (r.state_type = 'COMPLETED' AND max(n) <> max(total))
        """,
    ),
    Invariant(
        "nobody forgot a transaction",
        """
        SELECT pid, application_name, query FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'
          AND state_change < clock_timestamp() - interval '3 seconds'
        """,
        settles=True,
    ),
)


def assert_invariants() -> None:
    """Fail with everything that is broken in the current database."""
    broken = [f"{each.text}:\n    {rows}" for each in INVARIANTS if (rows := _lasting_offenders(each))]
    assert not broken, "broken after a fault:\n  " + "\n  ".join(broken)


def _lasting_offenders(invariant: Invariant) -> list[tuple[object, ...]]:
    rows = _offenders(invariant)
    deadline = time.monotonic() + SETTLING_SECONDS
    while rows and invariant.settles and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = _offenders(invariant)
    return rows


def _offenders(invariant: Invariant) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(invariant.offenders.replace("{legal}", _legal_pairs()))
        return cursor.fetchmany(5)


def _legal_pairs() -> str:
    pairs = [(before, after) for before, afters in LEGAL.items() for after in sorted(afters)]
    return ", ".join(f"({_literal(before)}, '{after}')" for before, after in pairs)


def _literal(state_type: str | None) -> str:
    return "NULL" if state_type is None else f"'{state_type}'"


# What each command may keep: an agent its own connection and two of its run, a scheduler one or two per
# loop, a server its pool. Memory is that of the process itself, without its runs.
MOST_CONNECTIONS = {"rqworker": 3, "scheduler": 20, "serve": 22}
MOST_MIB = {"rqworker": 180, "scheduler": 200, "serve": 250}


def assert_bounded(children: Sequence[Child]) -> None:
    """Fail if these processes kept more connections or memory than they need."""
    allowed = sum(MOST_CONNECTIONS.get(child.arguments[0], 0) for child in children)
    wait_until(lambda: _connections() <= allowed, what=f"at most {allowed} connections are left")
    for child in children:
        most, resident = MOST_MIB.get(child.arguments[0]), resident_mib(child.pid)
        assert most is None or resident <= most, f"{child.arguments} has {resident} MiB"


def resident_mib(pid: int) -> int:
    """The memory that a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") >> 20


OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(OTHERS)
        return int(cursor.fetchone()[0])
