"""Hints to the agent that executes a run: look at its row now, do not wait for your next tick.

Sent when a run shall be cancelled. Best effort, like all that goes through Redis: an agent that hears
nothing sees the row within a second.
"""

import time
from typing import Any
from uuid import UUID

import redis

from agents import doorbell

CHANNEL = "portal:look:{run_id}"
RETRY_SECONDS = 10.0


def hint(pipeline: "redis.client.Pipeline", run_id: UUID) -> None:
    """Add a hint about this run to what is sent."""
    pipeline.publish(CHANNEL.format(run_id=run_id), b"")


class Hints:
    """One kept subscription of an agent's parent. It never raises, and is silent while Redis is away.

    Not redis-py's PubSub: that one connects again in the middle of a read, which may take seconds.
    """

    def __init__(self) -> None:
        self._connection: Any = doorbell.connect(timeout=1).connection_pool.make_connection()
        self._connect_at = 0.0
        self._channel = ""

    def listen(self, run_id: UUID) -> None:
        """From now on, hear about this run and no other."""
        if self._connect():
            self._channel = CHANNEL.format(run_id=run_id)
            self._send("SUBSCRIBE")

    def forget(self) -> None:
        """Hear about no run any more."""
        if self.fileno() is not None and self._channel:
            self._send("UNSUBSCRIBE")
        self._channel = ""

    def fileno(self) -> int | None:
        """What becomes readable when something was heard; None: nothing will be."""
        sock = getattr(self._connection, "_sock", None)
        return sock.fileno() if sock else None

    def take(self) -> bool:
        """Take in what was heard: whether there was a hint, and not only Redis's word that it listens."""
        is_hint = False
        try:
            while self.fileno() is not None and self._connection.can_read(timeout=0):
                is_hint |= self._connection.read_response()[0] == b"message"
        except redis.RedisError:
            self._connection.disconnect()
        return is_hint

    def _connect(self) -> bool:
        if self.fileno() is not None:
            return True
        if time.monotonic() < self._connect_at:
            return False
        try:
            self._connection.connect()
        except redis.RedisError:
            self._connect_at = time.monotonic() + RETRY_SECONDS
            return False
        return True

    def _send(self, command: str) -> None:
        try:
            self._connection.send_command(command, self._channel)
        except redis.RedisError:
            self._connection.disconnect()
