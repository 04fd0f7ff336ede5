"""Pongs that say "stored": Prefect's clients forget their events when the pong to a later ping comes.

An ASGI server answers pings by itself, as soon as it has parsed them, and a server that dies then takes
events along that nobody will send again. So this protocol keeps the pong of a socket whose application
gives receipts until every frame that came before the ping is stored.
"""

from collections.abc import Callable, Mapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

KEY = "portal.receipts"


class Receipts:
    """Counts the frames of one socket: those handed to the application, and those it has stored."""

    def __init__(self, release: Callable[[], None] = lambda: None) -> None:
        self.are_given = False
        self.handed = 0
        self.kept = 0
        self._release = release

    @property
    def are_complete(self) -> bool:
        """Whether a pong may leave."""
        return not self.are_given or self.kept >= self.handed

    def stored(self, frames: int) -> None:
        """So many more frames are durable, or are of no further use."""
        self.kept += frames
        if self.are_complete:
            self._release()


def receipts_of(scope: Mapping[str, Any]) -> Receipts:
    """The receipts of a socket; its application promises to give them from now on."""
    receipts: Receipts = scope.get("state", {}).get(KEY) or Receipts()
    receipts.are_given = True
    return receipts


class ReceiptProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own protocol, which lets pongs wait for receipts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receipts = Receipts(self._send_kept)
        self._kept_back: list[bytes] = []
        self._handed_at_ping = 0

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["state"][KEY] = self.receipts

    def send_receive_event_to_app(self) -> None:
        self.receipts.handed += 1
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self.receipts.are_complete:
            super().handle_ping()
        else:
            self._kept_back += self.conn.data_to_send()

    def send_keepalive_ping(self) -> None:
        self._handed_at_ping = self.receipts.handed
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """While we are behind with a client's frames, its pong may stand unread behind them."""
        behind = not self.receipts.are_complete or self.receipts.handed != self._handed_at_ping
        if self.receipts.are_given and behind:
            self.pong_timer = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()

    def _send_kept(self) -> None:
        if self._kept_back and not self.transport.is_closing():
            self.transport.write(b"".join(self._kept_back))
        self._kept_back.clear()
