"""Random faults, one after the other: whatever may break without anybody's permission."""

import heapq
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import redis

from portal.ops.embedded import Postgres, Valkey
from tests.faults.api import Api
from tests.faults.conftest import Stage
from tests.processes import Child, descendants, wait_until

AGENTS, SCHEDULERS = 2, 2
QUEUES = ("default", "isolated/default")


class Mischief:
    """Breaks a stage. `strike` is one fault; `mend` repairs everything that is still broken."""

    def __init__(
        self, stage: Stage, api: Api, postgres: Postgres, valkey: Valkey, dice: random.Random
    ) -> None:
        self.done: list[str] = []
        self._stage = stage
        self._api = api
        self._postgres = postgres
        self._valkey = valkey
        self._dice = dice
        self._asleep: list[tuple[float, int]] = []  # when to wake which process
        self._schedulers: list[Child] = []
        self._faults: list[Callable[[], object]] = [
            self.kill_a_run, self.kill_a_run, self.kill_an_agent, self.stop_an_agent, self.freeze_an_agent,
            self.freeze_a_run, self.freeze_both, self.kill_a_scheduler, self.freeze_a_scheduler,
            self.kill_the_server, self.restart_redis, self.flush_redis, self.hang_redis,
            self.restart_postgres, self.kill_connections, self.freeze_connections,
        ]  # fmt: skip

    def strike(self) -> None:
        """One fault, and a breath."""
        fault = self._dice.choice(self._faults)
        self.done.append(fault.__name__)
        with suppress(ProcessLookupError, psycopg.OperationalError, redis.RedisError):
            fault()
        self._wake(before=time.monotonic())
        self._top_up()
        time.sleep(self._dice.uniform(0.1, 2.5))

    def mend(self) -> None:
        """Wake what sleeps, and start what is missing."""
        self._wake(before=float("inf"))
        self._top_up()

    # Processes

    def kill_a_run(self) -> None:
        os.kill(self._run(), signal.SIGKILL)

    def kill_an_agent(self) -> None:
        self._agent().kill()

    def stop_an_agent(self) -> None:
        """It drains; half the time it is hurried."""
        agent = self._agent()
        agent.signal(signal.SIGTERM)
        if self._dice.random() < 0.5:
            time.sleep(1.2)
            agent.signal(signal.SIGTERM)

    def freeze_an_agent(self) -> None:
        self._freeze(self._agent().pid)

    def freeze_a_run(self) -> None:
        self._freeze(self._run())

    def freeze_both(self) -> None:
        agent = self._agent()
        seconds = self._dice.uniform(1, 15)
        for pid in (agent.pid, *self._horses(agent)):
            self._freeze(pid, seconds)

    def kill_a_scheduler(self) -> None:
        self._dice.choice(self._schedulers).kill()

    def freeze_a_scheduler(self) -> None:
        self._freeze(self._dice.choice(self._schedulers).pid)

    def kill_the_server(self) -> None:
        self._api.server.kill()

    # Servers

    def restart_redis(self) -> None:
        assert self._valkey.pid is not None
        os.kill(self._valkey.pid, signal.SIGKILL)
        wait_until(lambda: self._valkey.pid is None, what="Valkey is down")
        time.sleep(self._dice.uniform(0, 3))
        self._valkey.start()

    def flush_redis(self) -> None:
        redis.Redis.from_url(self._valkey.url).flushall()

    def hang_redis(self) -> None:
        assert self._valkey.pid is not None
        self._freeze(self._valkey.pid, self._dice.uniform(1, 6))

    def restart_postgres(self) -> None:
        assert self._postgres.pid is not None
        for pid in descendants(self._postgres.pid):  # a frozen one would keep it from stopping
            os.kill(pid, signal.SIGCONT)
        os.kill(self._postgres.pid, self._dice.choice((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)))
        wait_until(lambda: self._postgres.pid is None, timeout=30, what="PostgreSQL is down")
        time.sleep(self._dice.uniform(0, 4))
        self._postgres.start()

    def kill_connections(self) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as server:
            for pid in self._some_backends(server):
                server.execute("SELECT pg_terminate_backend(%s)", [pid])

    def freeze_connections(self) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as server:
            pids = self._some_backends(server)
        for pid in pids[:3]:
            self._freeze(pid, self._dice.uniform(1, 8))

    # What there is

    def _agent(self) -> Child:
        return self._dice.choice(self._living_agents())

    def _living_agents(self) -> list[Child]:
        return [agent for agent in self._stage.agents if agent.is_alive]

    @staticmethod
    def _horses(agent: Child) -> list[int]:
        """Its children that lead a group of their own."""
        with suppress(ProcessLookupError):
            return sorted(pid for pid in descendants(agent.pid) if os.getpgid(pid) == pid)
        return []

    def _run(self) -> int:
        """The process of some run. ProcessLookupError if there is none."""
        horses = [pid for agent in self._living_agents() for pid in self._horses(agent)]
        if not horses:
            raise ProcessLookupError
        return self._dice.choice(horses)

    def _some_backends(self, server: "psycopg.Connection[tuple[int]]") -> list[int]:
        rows = server.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'portal%' ORDER BY pid"
        ).fetchall()
        return self._dice.sample([pid for (pid,) in rows], len(rows) // 2)

    # Repairs

    def _freeze(self, pid: int, seconds: float = 0) -> None:
        until = time.monotonic() + (seconds or self._dice.uniform(1, 15))
        os.kill(pid, signal.SIGSTOP)
        heapq.heappush(self._asleep, (until, pid))

    def _wake(self, before: float) -> None:
        while self._asleep and self._asleep[0][0] <= before:
            _, pid = heapq.heappop(self._asleep)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _top_up(self) -> None:
        """Start what has died, as a service manager would."""
        for _ in range(AGENTS - len(self._living_agents())):
            self._stage.agents.append(self._stage.stack.start("rqworker", *QUEUES))
        self._schedulers = [scheduler for scheduler in self._schedulers if scheduler.is_alive]
        for _ in range(SCHEDULERS - len(self._schedulers)):
            self._schedulers.append(self._stage.stack.start("scheduler"))
        if not self._api.server.is_alive:
            self._api.launch()
