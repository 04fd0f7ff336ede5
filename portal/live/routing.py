"""Every WebSocket there is, behind the checks of origin and login."""

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path, re_path

from portal.live.consumers import RunConsumer, RunsConsumer


class Nowhere(AsyncWebsocketConsumer):
    """Refuses sockets at other addresses; without it each would be an unhandled error in the log."""

    async def connect(self) -> None:
        await self.close()


websocket_urlpatterns = [
    path("ws/runs", RunsConsumer.as_asgi()),
    path("ws/runs/<uuid:run_id>", RunConsumer.as_asgi()),
]
elsewhere = re_path("", Nowhere.as_asgi())

# A page of another site may open a socket with our cookie, hence the check of the origin.
sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([*websocket_urlpatterns, elsewhere])))
