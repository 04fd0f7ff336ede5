"""The reaper ends runs whose agent has died: nobody else would ever say that they are over."""

import logging
from datetime import datetime, timedelta

from django.db.models import Q

from agents.services.database import alone
from agents.services.steadiness import FARTHEST, Steadiness
from flows.sdk.recorder import Status
from flows.sdk.states import Cancelled, Crashed, State
from runs.crashing import end_for
from runs.models import FlowRun
from runs.models.flow_run import StateType
from runs.session import DjangoSession

logger = logging.getLogger(__name__)

BATCH = 50
LONGEST_OF_A_SCRIPT = timedelta(hours=1)  # that the API lets it ask for


class Reaper:
    """Ends runs whose lease ran out, when it has been looking for long enough to be sure."""

    def __init__(self) -> None:
        self._steadiness = Steadiness()

    def step(self, now: datetime) -> None:
        if not self._steadiness.tick(now):
            return
        with alone("reap") as mine:
            if mine:
                end_expired(now)


def end_expired(now: datetime) -> int:
    """End the runs whose lease ran out before `now`; return how many. Needs an open transaction.

    The rows are locked first: an agent that comes back late finds that it no longer owns its run.
    Open subflows and task runs end in the same transaction.
    """
    expired = FlowRun.objects.select_for_update(skip_locked=True, of=("self",)).select_related("agent")
    ended = 0
    for run in expired.filter(_is_silent(now), leased=True).order_by("lease_expires")[:BATCH]:
        verdict = end_for(DjangoSession(), run.id, run.attempt, _ending(run))
        if verdict.status is not Status.ABORT:
            ended += 1
        else:
            logger.warning("Could not end %s, whose lease ran out: %s", run.id, verdict.reason)
    return ended


def _is_silent(now: datetime) -> Q:
    """Whoever executes it has not renewed its lease: it ran out, or is of before the clock was put back."""
    of_an_agent = Q(agent__isnull=False, lease_expires__gt=now + FARTHEST)
    of_a_script = Q(agent__isnull=True, lease_expires__gt=now + LONGEST_OF_A_SCRIPT)
    return Q(lease_expires__lt=now) | of_an_agent | of_a_script


def _ending(run: FlowRun) -> State:
    if run.agent is None and run.deployment_id is None:
        return _ending_of_script(run)
    agent = f"Agent {run.agent.name} on {run.agent.hostname}" if run.agent else "The agent of this run"
    silence = f"stopped responding (its lease ran out at {run.lease_expires:%H:%M:%S} UTC)"
    if run.state_type == StateType.CANCELLING:
        return Cancelled(message=f"{agent} {silence} while it was cancelling the run.")
    return Crashed(
        message=f"{agent} {silence}. It was killed, or lost its host or the database; its processes end "
        "with it. Look at the agent's log, then run this again."
    )


def _ending_of_script(run: FlowRun) -> State:
    silence = f"stopped reporting (its lease ran out at {run.lease_expires:%H:%M:%S} UTC)"
    if run.state_type == StateType.CANCELLING:
        return Cancelled(message=f"The process that ran this script {silence} while it was cancelled.")
    return Crashed(
        message=f"The process that ran this script {silence}. It was killed, or lost its host or the "
        "connection to Portal. Start the script again."
    )
