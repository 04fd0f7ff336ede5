"""`manage.py scheduler`: schedules become runs, due runs are rung for, dead agents are noticed."""

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from agents.services.scheduler import Scheduler


class Command(BaseCommand):
    help = (
        "Run the scheduler: create the runs of schedules, ring agents when runs are due, mark late runs, "
        "end runs whose agent has died, keep log partitions ahead. Any number may run at once. "
        "Survives PostgreSQL and Redis being away. Stop it with Ctrl-C or SIGTERM."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        scheduler = Scheduler()
        names = ", ".join(loop.name for loop in scheduler.loops)
        self.stdout.write(f"Scheduler started. Loops: {names}.")
        scheduler.run(stop)
        self.stdout.write("Scheduler stopped.")
