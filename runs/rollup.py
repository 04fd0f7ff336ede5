"""Rolling up: what ended, counted by the hour, so that no page has to count runs."""

from datetime import datetime, timedelta

from runs.session import Session

# Hours are counted anew as a whole, so that doing it twice, or from two schedulers, changes nothing. What was
# counted and is there no more, because the run was run again and ended otherwise, goes. But retention
# removes runs from a day after their end: of hours before that, only what was not counted yet is added.
ROLL_UP = """
WITH counted AS (
    SELECT workspace_id, deployment_id, date_trunc('hour', end_time, 'UTC') AS hour, state_type,
           count(*) AS runs, sum(total_run_time) AS run_seconds, max(total_run_time) AS longest_run_seconds,
           coalesce(sum(greatest(0, extract(epoch FROM start_time - expected_start_time))), 0) AS late_seconds
    FROM runs_flowrun
    WHERE end_time >= %(since)s AND root_run_id IS NULL
    GROUP BY 1, 2, 3, 4
), gone AS (
    DELETE FROM runs_runstats s
    WHERE s.hour >= greatest(%(since)s, %(whole)s) AND NOT EXISTS (
        SELECT FROM counted c
        WHERE c.workspace_id = s.workspace_id AND c.hour = s.hour AND c.state_type = s.state_type
          AND c.deployment_id IS NOT DISTINCT FROM s.deployment_id)
)
INSERT INTO runs_runstats AS s
    (id, workspace_id, deployment_id, hour, state_type, runs, run_seconds, longest_run_seconds, late_seconds)
SELECT gen_random_uuid(), workspace_id, deployment_id, hour, state_type,
       runs, run_seconds, longest_run_seconds, late_seconds
FROM counted
ON CONFLICT (workspace_id, hour, deployment_id, state_type) DO UPDATE SET
    runs = excluded.runs, run_seconds = excluded.run_seconds,
    longest_run_seconds = excluded.longest_run_seconds, late_seconds = excluded.late_seconds
WHERE (s.runs, s.run_seconds, s.late_seconds)
      IS DISTINCT FROM (excluded.runs, excluded.run_seconds, excluded.late_seconds)
  AND (s.hour >= %(whole)s OR excluded.runs > s.runs)
"""
# Within it, nothing has been removed of an hour.
WHOLE = timedelta(hours=23)

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
            tx.execute(ROLL_UP, {"since": since, "whole": now - WHOLE})
