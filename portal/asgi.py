"""The ASGI application that `manage.py serve` runs: HTTP by Django, WebSockets by Channels."""

from importlib import import_module

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

http = get_asgi_application()  # loads the apps, which the sockets' modules need
application = ProtocolTypeRouter({"http": http, "websocket": import_module("portal.live.routing").sockets})
