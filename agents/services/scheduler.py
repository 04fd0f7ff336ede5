"""The scheduler: all loops in one process, a thread and a kept connection for each."""

import os
import socket
import threading
import time
from dataclasses import asdict
from datetime import datetime

from agents.models import ServiceStatus
from agents.services import materialise
from agents.services.backfills import release_backfills
from agents.services.cancellations import end_cancellations
from agents.services.collisions import settle_collisions
from agents.services.errands import ErrandKeeper
from agents.services.housekeeping import keep_house
from agents.services.late import mark_late
from agents.services.loop import Loop, Outages, Step
from agents.services.pauses import expire_pauses
from agents.services.planning import plan_backfills
from agents.services.presence import tell_of_agents
from agents.services.reaper import Reaper
from agents.services.retention import keep_what_is_wanted
from agents.services.ringer import Alarm, Ringer
from agents.services.silence import SilenceKeeper
from agents.services.slots import clear_slots
from agents.services.sweeper import sweep
from runs.rollup import roll_up
from runs.session import DjangoSession

REPORT_EVERY = 2.0
PATIENCE = 10.0
# What nobody may start any more, since it was missed, goes before anything is rung for.
RINGING = {"ring", "sweep"}
CATCH_UP_SECONDS = 5.0


class Scheduler:
    """Runs the loops from `start` to `stop`, and reports how they are doing."""

    def __init__(self) -> None:
        self._outages = Outages()
        self._caught_up = threading.Event()
        self._materialiser = materialise.Materialiser()
        ring = self._loop("ring", Ringer().step, every=1)
        self.loops = [
            self._loop(materialise.NAME, self._materialise, every=5),
            ring,
            self._loop("sweep", sweep, every=1),
            self._loop("collisions", settle_collisions, every=1),
            self._loop("late", mark_late, every=1),
            self._loop("pauses", expire_pauses, every=1),
            self._loop("errands", ErrandKeeper().step, every=1),
            self._loop("planning", plan_backfills, every=1),
            self._loop("backfills", release_backfills, every=1),
            self._loop("reap", Reaper().step, every=1),
            self._loop("silence", SilenceKeeper().step, every=1),
            self._loop("slots", clear_slots, every=1),
            self._loop("cancellations", end_cancellations, every=5),
            self._loop("presence", tell_of_agents, every=1),
            self._loop("rollup", lambda now: roll_up(DjangoSession(), now), every=10),
            self._loop("retention", keep_what_is_wanted, every=600),
            self._loop("house", keep_house, every=3600),
        ]
        report = self._loop("report", lambda now: self.report(), REPORT_EVERY)
        self._all = [*self.loops, report]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[loop], name=loop.name, daemon=True) for loop in self._all
        ]
        alarm = Alarm(ring.wake)
        self._threads.append(threading.Thread(target=alarm.run, args=[self._stop], name="alarm", daemon=True))

    def _loop(self, name: str, step: Step, every: float) -> Loop:
        return Loop(name, step, every, self._outages)

    def _run(self, loop: Loop) -> None:
        if loop.name in RINGING:
            self._caught_up.wait(CATCH_UP_SECONDS)
        loop.run(self._stop)

    def _materialise(self, now: datetime) -> None:
        try:
            self._materialiser.step(now)
        finally:
            self._caught_up.set()

    def start(self) -> None:
        """Start a thread for each loop."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop all loops; each finishes the step that it is in, if that takes less than 10 s."""
        self._stop.set()
        self._caught_up.set()
        for loop in self._all:
            loop.wake()
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def report(self) -> None:
        """Write the outcome of every loop, in one statement."""
        where = {"hostname": socket.gethostname(), "pid": os.getpid()}
        ServiceStatus.objects.bulk_create(
            [
                ServiceStatus(name=loop.name, every=loop.every, **where, **asdict(loop.outcome))
                for loop in self.loops
            ],
            update_conflicts=True,
            unique_fields=["name", "hostname", "pid"],
            update_fields=["every", "last_success", "duration_ms", "last_error", "last_error_time"],
        )
