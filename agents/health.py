"""Health checks of the processes that answer no HTTP: is what runs on this host really at work?

Answered from what they report themselves, on the database clock: a process that hangs does not report.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.core.management.base import CommandError
from django.db import OperationalError
from django.db.models import F

from agents.models import Agent, ServiceStatus
from agents.registry import OFFLINE_AFTER
from agents.services.database import database_time

SILENT_AFTER = timedelta(seconds=20)  # beyond the loop's own period


class UnhealthyError(Exception):
    """What is wrong, in one line."""


def report_health(check: Callable[[], str], say: Callable[[str], object]) -> None:
    """Say what `check` says; for commands. Raises CommandError, in one line, when something is wrong."""
    try:
        say(check())
    except UnhealthyError as error:
        raise CommandError(str(error)) from None
    except OperationalError as error:
        reason = str(error).partition("\n")[0]
        raise CommandError(f"PostgreSQL does not answer, so nobody knows: {reason}") from None


def is_silent(service: ServiceStatus, now: datetime) -> bool:
    """Whether a loop has not worked for too long."""
    silent_after = SILENT_AFTER + timedelta(seconds=service.every)
    return service.last_success is None or now - service.last_success > silent_after


def check_agent(hostname: str, name: str = "") -> str:
    """What there is to say of the agent that started last on this host, or of the one called `name`.

    Raises UnhealthyError.
    """
    agents = Agent.objects.filter(name=name) if name else Agent.objects.filter(hostname=hostname)
    agent = agents.order_by("-started").first()
    if agent is None:
        raise UnhealthyError(f"There was never an agent {f'called {name}' if name else f'on {hostname}'}.")
    silence = database_time() - agent.last_seen
    seen = f"Agent {agent.name}, process {agent.pid}: seen {silence.total_seconds():.0f} s ago"
    if agent.refused:
        raise UnhealthyError(f"Agent {agent.name} may not take runs: {agent.refused}")
    if agent.stopped:
        raise UnhealthyError(f"Agent {agent.name} has stopped.")
    if silence >= OFFLINE_AFTER:
        raise UnhealthyError(f"{seen}.")
    return f"{seen}{', draining' if agent.draining else ''}."


def check_scheduler(hostname: str) -> str:
    """What there is to say of the scheduler that worked last on this host. Raises UnhealthyError."""
    there = ServiceStatus.objects.filter(hostname=hostname)
    newest = there.order_by(F("last_success").desc(nulls_last=True)).first()
    if newest is None:
        raise UnhealthyError(f"There was never a scheduler on {hostname}.")
    now = database_time()
    loops = list(there.filter(pid=newest.pid))
    silent = sorted(loop.name for loop in loops if is_silent(loop, now))
    if silent:
        raise UnhealthyError(f"Scheduler, process {newest.pid}: silent loops: {', '.join(silent)}.")
    return f"Scheduler, process {newest.pid}: {len(loops)} loops at work."
