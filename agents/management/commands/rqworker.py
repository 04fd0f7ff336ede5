"""`manage.py rqworker default`: the agent."""

import contextlib
import logging
import os
import socket
import time
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, OperationalError, connections

from agents import doorbell, registry
from agents.compatibility import misfit
from agents.health import check_agent, report_health
from agents.models import WorkQueue
from agents.recycling import Recycling, start_again
from agents.warmth import PreloadError, warm_up
from agents.worker import AgentWorker
from flows.sdk.ids import uuid7
from runs.session import DjangoSession, conninfo_of_django

logger = logging.getLogger("agents")

Found = TypeVar("Found")
DATABASE_WAIT_SECONDS = 2.0
EXIT_REFUSED = 3
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


def whole(text: str) -> int:
    """A whole number that is not negative. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def seconds(text: str) -> float:
    """A length of time. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"'{text}' is not a number of seconds from 0 on")
    return value


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
            nargs="*",
            metavar="QUEUE",
            help="[workspace/][pool/]queue; an unknown queue is created",
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="start nothing: say whether the agent of this host, or the one called --name, is at work "
            "(exit code 1: it is not)",
        )
        parser.add_argument("--burst", action="store_true", help="stop as soon as there is nothing to do")
        parser.add_argument(
            "--drain-seconds",
            type=seconds,
            default=settings.AGENT_DRAIN_SECONDS,
            help="how long a stopping agent waits for the end of its run before it hands it back to be run "
            "by another (default: %(default)g, from AGENT_DRAIN_SECONDS)",
        )
        parser.add_argument(
            "--max-memory",
            type=whole,
            metavar="MIB",
            default=settings.AGENT_MAX_MEMORY_MIB,
            help="start again between two runs when more than this is in memory (default: never, "
            "or AGENT_MAX_MEMORY_MIB)",
        )
        parser.add_argument(
            "--max-runs",
            type=whole,
            metavar="N",
            default=settings.AGENT_MAX_RUNS,
            help="start again after so many runs (default: never, or AGENT_MAX_RUNS)",
        )
        parser.add_argument("--name", help="name of this agent (default: host:pid:random)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            name = options["name"] or ""
            report_health(lambda: check_agent(socket.gethostname(), name), self.stdout.write)
            return
        if not options["queues"]:
            raise CommandError("Name the queues to serve, for example: manage.py rqworker default")
        _set_log_level(options["verbosity"])
        try:
            worker = _worker(options)
        except (registry.BadQueueNameError, PreloadError) as error:
            raise CommandError(str(error)) from None
        if worker.serve(burst=options["burst"]):
            start_again()


def _worker(options: dict[str, Any]) -> AgentWorker:
    """The agent, ready to serve. Waits for PostgreSQL. Raises CommandError if it may not take runs."""
    refusal = _when_possible(misfit)
    queues = [] if refusal else _when_possible(lambda: _resolve(options["queues"]))
    name = options["name"] or f"{socket.gethostname()}:{os.getpid()}:{uuid7().hex[-6:]}"
    identity = registry.Identity(name=name, queue_ids=tuple(queue.id for queue in queues))
    if refusal:
        _refuse(identity, refusal)
    ring_lists = [doorbell.rq_queue(queue.id).name for queue in queues]
    conninfo = conninfo_of_django()
    connections.close_all()
    warm_up(settings.AGENT_PRELOAD)
    recycling = Recycling(options["max_memory"], options["max_runs"])
    return AgentWorker(ring_lists, identity, conninfo, options["drain_seconds"], recycling)


def _set_log_level(verbosity: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    for name in ("agents", "runs", "rq.worker"):
        logging.getLogger(name).setLevel(level)


def _refuse(identity: registry.Identity, because: str) -> NoReturn:
    """End, in one line, and show it on the page of agents, if the database has room for that."""
    with contextlib.suppress(DatabaseError):
        registry.refuse(DjangoSession(), identity, because)
    raise CommandError(f"This agent may not take runs: {because}", returncode=EXIT_REFUSED)


def _resolve(names: Sequence[str]) -> list[WorkQueue]:
    return [registry.resolve(name) for name in dict.fromkeys(names)]


def _when_possible(read: Callable[[], Found]) -> Found:
    """What `read` returns, once PostgreSQL answers: agents may start before it."""
    while True:
        try:
            return read()
        except OperationalError as error:
            reason = str(error).partition("\n")[0]
            logger.warning("PostgreSQL does not answer, trying again: %s", reason)
            connections.close_all()
            time.sleep(DATABASE_WAIT_SECONDS)
