"""The keeper of silence ends runs of Prefect's clients of which nothing is heard any more."""

from datetime import datetime, timedelta

from django.conf import settings

from agents.services.database import alone
from agents.services.steadiness import Steadiness
from runs.session import DjangoSession
from runs.silence import end_silent


class SilenceKeeper:
    """Crashes runs without heartbeats, when it has been looking for long enough to be sure."""

    def __init__(self) -> None:
        self._steadiness = Steadiness()

    def step(self, now: datetime) -> None:
        every = timedelta(seconds=settings.PORTAL_HEARTBEAT_SECONDS)
        if not self._steadiness.tick(now) or not every:
            return
        with alone("silence") as mine:
            if mine:
                end_silent(DjangoSession(), now, every)
