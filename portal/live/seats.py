"""How many sockets one token, or one user's pages, may have open at this server process."""

from collections import Counter
from collections.abc import Hashable

from django.conf import settings

from portal.live.asgi_types import Application, Receive, Scope, Send

TOO_MANY = 4429  # the close code for pages

_taken: Counter[Hashable] = Counter()


def why_not() -> str:
    """What is said to whoever has too many. A close frame holds 123 bytes."""
    return f"{settings.PORTAL_SOCKETS_AT_ONCE} sockets are open for you already: close some of them."


class Seat:
    """The place of one socket. All sockets of a process live in one event loop: nothing is locked."""

    def __init__(self) -> None:
        self._holder: Hashable = None

    def take(self, holder: Hashable) -> bool:
        """Whether there was a place left for another socket of `holder`."""
        most = settings.PORTAL_SOCKETS_AT_ONCE
        if most and _taken[holder] >= most:
            return False
        self._holder = holder
        _taken[holder] += 1
        return True

    def leave(self) -> None:
        """Give the place back, if there was one."""
        if self._holder is None:
            return
        _taken[self._holder] -= 1
        if not _taken[self._holder]:
            del _taken[self._holder]
        self._holder = None


def seated(application: Application) -> Application:
    """The application of a socket with a `Seat` in its scope, which is left however the socket ends."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seat = Seat()
        try:
            await application({**scope, "seat": seat}, receive, send)
        finally:
            seat.leave()

    return app
