"""Every WebSocket there is, behind the checks of origin and login."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from portal.live.consumers import RunConsumer, RunsConsumer

websocket_urlpatterns = [
    path("ws/runs", RunsConsumer.as_asgi()),
    path("ws/runs/<uuid:run_id>", RunConsumer.as_asgi()),
]

# A page of another site may open a socket with our cookie, hence the check of the origin.
sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))
