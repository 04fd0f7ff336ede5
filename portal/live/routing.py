"""Every WebSocket there is, behind the checks of origin and login."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path, re_path

from portal.live.consumers import RunConsumer, RunsConsumer
from portal.live.seats import seated
from portal.prefect.events_in import events_in
from portal.prefect.events_out import events_out
from portal.prefect.logs_out import logs_out


class Nowhere(AsyncWebsocketConsumer):
    """Refuses sockets at other addresses; without it each would be an unhandled error in the log."""

    async def connect(self) -> None:
        await self.close()


PAGE_SOCKETS: dict[str, Any] = {
    "ws/runs": seated(RunsConsumer.as_asgi()),
    "ws/runs/<uuid:run_id>": seated(RunConsumer.as_asgi()),
}
websocket_urlpatterns = [path(*route) for route in PAGE_SOCKETS.items()]
elsewhere = re_path("", Nowhere.as_asgi())

# Those of Prefect's clients, which show a token. Cookies open none of them, so their origin does not matter.
CLIENT_SOCKETS: dict[str, Any] = {
    "api/events/in": seated(events_in),
    "api/events/out": seated(events_out),
    "api/logs/out": seated(logs_out),
}

# A page of another site may open a socket with our cookie, hence the check of the origin.
pages = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([*websocket_urlpatterns, elsewhere])))
sockets = URLRouter([*(path(*route) for route in CLIENT_SOCKETS.items()), re_path("", pages)])
