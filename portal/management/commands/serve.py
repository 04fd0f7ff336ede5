import os
import warnings
from contextlib import suppress
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from portal.prefect.receipts import ReceiptProtocol
from runs.session import DjangoSession
from runs.silence import hear_from_now_on

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LARGEST_MESSAGE = 2 * 1024 * 1024
GRACE_SECONDS = 5
PING_SECONDS = 10


class Command(BaseCommand):
    help = "Serve the pages, the API and the WebSockets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument(
            "--port",
            type=int,
            default=int(os.environ.get("PORTAL_PORT", "4200")),
            help="port to listen on (default: PORTAL_PORT or 4200)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        _check_host(host)
        # WhiteNoise streams its files from an ordinary iterator; they are small, and cached by browsers.
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
        with suppress(DatabaseError):  # away, or not prepared yet: nobody is judged by heartbeats meanwhile
            hear_from_now_on(DjangoSession())
            connection.close()
        self.stdout.write(f"Serving on http://{host}:{port}")
        self.stdout.flush()
        _serve(host, port)


def _check_host(host: str) -> None:
    """Raises CommandError."""
    if settings.DEBUG and host not in LOOPBACK:
        raise CommandError(
            f"PORTAL_DEBUG shows secrets on its error pages, so it is not served on {host}.\n"
            "Unset PORTAL_DEBUG, or listen on 127.0.0.1."
        )


def _serve(host: str, port: int) -> None:
    uvicorn.run(
        settings.ASGI_APPLICATION.replace(".application", ":application"),
        host=host,
        port=port,
        lifespan="off",
        server_header=False,
        # Forwarded addresses are believed only behind a TLS proxy (FORWARDED_ALLOW_IPS names it).
        proxy_headers=settings.PORTAL_URL.startswith("https://"),
        ws=ReceiptProtocol,
        ws_max_size=LARGEST_MESSAGE,
        # A page that does not read does not answer either: it is cut off after the sum of the two.
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        access_log=False,
        log_level="warning",
    )
