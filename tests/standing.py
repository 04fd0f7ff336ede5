"""A server for all tests of a module: to start one takes longer than most of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from django.db import connection

from flows.models import Workspace
from tests import databases
from tests.processes import Child, RunningStack, answers, free_port, wait_until

OTHERS_AT_WORK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND state <> 'idle'
"""


class StandingServer:
    """`manage.py serve` over a committed database, to which this process's ORM is pointed, too."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.port = free_port()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}/api"

    def ready(self) -> Child:
        """The server; another one at the same address if a test has ended it."""
        if self._child is None or not self._child.is_alive:
            self._child = self.stack.start("serve", "--port", str(self.port))
            wait_until(lambda: answers(self.port), what="the server answers")
        return self._child

    @contextmanager
    def helped(self, folder: Path) -> Iterator[RunningStack]:
        """Agents and other helpers of one test, which finds all empty; they end with it."""
        self.ready()
        self.empty()
        helpers = RunningStack(self.stack.database_url, self.stack.redis_url, folder)
        try:
            yield helpers
        finally:
            helpers.stop()

    def empty(self) -> None:
        """Forget all that earlier tests have made.

        The default workspace is a new one, too: what the server still does for another test concerns that
        one's workspace.
        """
        wait_until(_others_are_idle)
        databases.empty()
        redis.Redis.from_url(self.stack.redis_url).flushall()
        Workspace.objects.create(name="default")


def _others_are_idle() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(OTHERS_AT_WORK)
        return cursor.fetchone() == (0,)
