"""`manage.py scheduler`: schedules become runs, due runs are rung for, dead agents are noticed."""

import signal
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from agents.health import check_scheduler, report_health
from agents.services.scheduler import Scheduler
from runs.checks import PORTS

ENDING = {signal.SIGTERM, signal.SIGINT}


class Command(BaseCommand):
    # Not those of URLs: they load the pages and the API, 24 MiB that a scheduler never uses.
    requires_system_checks = [PORTS]

    help = (
        "Run the scheduler: create the runs of schedules, ring agents when runs are due, mark late runs, "
        "end runs whose agent has died, keep log partitions ahead. Any number may run at once. "
        "Survives PostgreSQL and Redis being away. Stop it with Ctrl-C or SIGTERM."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="start nothing: say whether the scheduler of this host is at work (exit code 1: it is not)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            report_health(lambda: check_scheduler(socket.gethostname()), self.stdout.write)
            return
        # Waited for, not handled: a handler that sets an event deadlocks on the event's own lock when
        # a second signal interrupts it. The threads inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        scheduler = Scheduler()
        scheduler.start()
        names = ", ".join(loop.name for loop in scheduler.loops)
        self.stdout.write(f"Scheduler started. Loops: {names}.")
        signal.sigwait(ENDING)
        scheduler.stop()
        self.stdout.write("Scheduler stopped.")
