"""The bell of a server elsewhere: it answers a request when it may be somebody's turn.

Each wait has a connection of its own, so that nothing else of this process has to wait with it.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from flows.sdk.client import ApiClient, NoAnswer, PortalApiError

MOST_ASYNC_WAITS = 16  # as each takes a thread; the others wait by the clock


class HttpBell:
    """Waits of any number of threads, and of some asyncio tasks."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._mine = threading.local()
        self._seats = threading.Semaphore(MOST_ASYNC_WAITS)
        self._threads = ThreadPoolExecutor(MOST_ASYNC_WAITS, "slot-bell")  # starts them when needed

    def rest(self, lease_id: UUID, seconds: float) -> bool:
        """As `Bell.rest`. A server that is away, or that has no bell, cannot ring."""
        if not hasattr(self._mine, "client"):
            self._mine.client = self._client.another()
        path = f"concurrency_limits/leases/{lease_id}/turn"
        try:
            return bool(self._mine.client.post(path, b'{"seconds": %f}' % seconds)["waited"])
        except (NoAnswer, PortalApiError):
            return False

    async def rest_async(self, lease_id: UUID, seconds: float) -> bool:
        """As `rest`, in another thread; False if all of those wait already."""
        import asyncio

        if not self._seats.acquire(blocking=False):
            return False
        waiting = self._threads.submit(self.rest, lease_id, seconds)
        waiting.add_done_callback(lambda _: self._seats.release())
        return await asyncio.wrap_future(waiting)
