"""`manage.py rqworker default`: the agent."""

import logging
import os
import socket
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections

from agents import doorbell, registry
from agents.models import WorkQueue
from agents.warmth import PreloadError, warm_up
from agents.worker import AgentWorker
from flows.sdk.ids import uuid7
from runs.session import conninfo_of_django

logger = logging.getLogger("agents")

DATABASE_WAIT_SECONDS = 2.0
EXAMPLES = """
examples:
  manage.py rqworker default            serve the default queue
  manage.py rqworker urgent default     serve two queues of the default pool
  manage.py rqworker etl/nightly        serve queue "nightly" of pool "etl"
  manage.py rqworker acme/etl/nightly   the same in workspace "acme"

One agent executes one run at a time: start as many as runs should go on at once.
SIGTERM or Ctrl-C finishes the current run and stops; a run that takes longer than the drain time, or a
second signal, is handed back: another agent begins it again, and no retry is used up.
Set AGENT_PRELOAD=pandas,numpy to import modules once, before runs are forked.
"""


class Command(BaseCommand):
    """Starts an agent: an RQ worker that executes the flow runs of its work queues."""

    help = "Run an agent: it executes the flow runs of the given work queues, one at a time."
    requires_system_checks: list[str] | tuple[str, ...] = []  # they may need servers that are not there yet

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=EXAMPLES, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "queues",
            nargs="+",
            metavar="QUEUE",
            help="[workspace/][pool/]queue; an unknown queue is created",
        )
        parser.add_argument("--burst", action="store_true", help="stop as soon as there is nothing to do")
        parser.add_argument(
            "--drain-seconds",
            type=float,
            default=settings.AGENT_DRAIN_SECONDS,
            help="how long a stopping agent waits for the end of its run before it hands it back to be run "
            "by another (default: %(default)g, from AGENT_DRAIN_SECONDS)",
        )
        parser.add_argument("--name", help="name of this agent (default: host:pid:random)")

    def handle(self, *args: Any, **options: Any) -> None:
        _set_log_level(options["verbosity"])
        try:
            queues = _resolve_when_possible(options["queues"])
        except registry.BadQueueNameError as error:
            raise CommandError(str(error)) from None
        name = options["name"] or f"{socket.gethostname()}:{os.getpid()}:{uuid7().hex[-6:]}"
        identity = registry.Identity(name=name, queue_ids=tuple(queue.id for queue in queues))
        ring_lists = [doorbell.rq_queue(queue.id).name for queue in queues]
        conninfo = conninfo_of_django()
        connections.close_all()
        try:
            warm_up(settings.AGENT_PRELOAD)
        except PreloadError as error:
            raise CommandError(str(error)) from None
        worker = AgentWorker(ring_lists, identity, conninfo, options["drain_seconds"])
        worker.serve(burst=options["burst"])


def _set_log_level(verbosity: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    for name in ("agents", "runs", "rq.worker"):
        logging.getLogger(name).setLevel(level)


def _resolve_when_possible(names: Sequence[str]) -> list[WorkQueue]:
    """The queues, once PostgreSQL answers: agents may start before it."""
    while True:
        try:
            return [registry.resolve(name) for name in dict.fromkeys(names)]
        except OperationalError as error:
            reason = str(error).partition("\n")[0]
            logger.warning("PostgreSQL does not answer, trying again: %s", reason)
            connections.close_all()
            time.sleep(DATABASE_WAIT_SECONDS)
