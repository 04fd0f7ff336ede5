"""Rolling up: what ended, counted by the hour, so that no page has to count runs."""

from datetime import datetime

from runs.session import Session

# Hours are counted anew as a whole, so that doing it twice, or from two schedulers, changes nothing.
ROLL_UP = """
INSERT INTO runs_runstats AS s
    (id, workspace_id, deployment_id, hour, state_type, runs, run_seconds, longest_run_seconds, late_seconds)
SELECT gen_random_uuid(), workspace_id, deployment_id, date_trunc('hour', end_time, 'UTC'), state_type,
       count(*), sum(total_run_time), max(total_run_time),
       coalesce(sum(greatest(0, extract(epoch FROM start_time - expected_start_time))), 0)
FROM runs_flowrun
WHERE end_time >= %s AND root_run_id IS NULL
GROUP BY 2, 3, 4, 5
ON CONFLICT (workspace_id, hour, deployment_id, state_type) DO UPDATE SET
    runs = excluded.runs, run_seconds = excluded.run_seconds,
    longest_run_seconds = excluded.longest_run_seconds, late_seconds = excluded.late_seconds
WHERE (s.runs, s.run_seconds) IS DISTINCT FROM (excluded.runs, excluded.run_seconds)
"""

# The hour before the last one, too: a run may be committed some seconds after the end that it reports.
SINCE = """
SELECT coalesce(
    (SELECT max(hour) - interval '1 hour' FROM runs_runstats WHERE hour <= %s),
    (SELECT date_trunc('hour', min(end_time), 'UTC') FROM runs_flowrun))
"""


def roll_up(session: Session, now: datetime) -> None:
    """Count the runs that ended since the last hour that was counted, and in that hour again."""
    with session.transaction() as tx:
        [(since,)] = tx.execute(SINCE, [now])
        if since is not None:
            tx.execute(ROLL_UP, [since])
