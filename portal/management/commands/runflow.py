"""`manage.py runflow`: make a run of a deployment, or run one again, and watch it."""

import sys
from argparse import ArgumentParser
from difflib import get_close_matches
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError

from flows.models.workspace import DEFAULT_WORKSPACE
from portal.client import Portal, PortalError, connect, path_of
from portal.management.arguments import as_dict, parameter
from portal.management.watching import watch
from runs.checks import PORTS

INTERRUPTED = 130  # as shells say it: 128 + SIGINT


class Command(BaseCommand):
    """Exits with 0 when the watched run completed, 1 when it ended otherwise."""

    # Not those of URLs, which load every page: half of such a short process.
    requires_system_checks = [PORTS]

    help = (
        "Run a deployment. Prints the run's id and page; with --watch also its states and log lines until "
        "it ends, and exits with 0 only if it completed. Ctrl-C stops watching, not the run. "
        "--retry reopens a run that has ended and keeps what its tasks computed; --again makes a new run "
        "with its parameters, changed by --param."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("deployment", metavar="FLOW/DEPLOYMENT", nargs="?")
        what.add_argument("--retry", metavar="RUN_ID", help="reopen this run, which has ended")
        what.add_argument("--again", metavar="RUN_ID", help="a new run with this one's parameters")
        parser.add_argument(
            "--from", dest="from_task", metavar="TASK", help="with --retry: do anew from here"
        )
        parser.add_argument("--reuse", action="store_true", help="with --again: take results of equal calls")
        parser.add_argument(
            "--param", "-p", action="append", type=parameter, metavar="NAME=VALUE",
            help="a parameter, as JSON or text; may be given several times",
        )  # fmt: skip
        parser.add_argument("--watch", "-w", action="store_true", help="follow the run until it ends")
        parser.add_argument("--name", help="the run's name (default: two random words)")
        parser.add_argument("--tag", action="append", default=[], help="a tag of the run")
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.run_flow(connect(options["workspace"]), options)
        except PortalError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def run_flow(self, portal: Portal, options: dict[str, Any]) -> None:
        run = start(portal, options)
        page = f"{portal.url}/admin/runs/flowrun/{run['id']}/"
        self.stdout.write(f"Flow run '{run['name']}' {run['id']}\n{page}")
        if not options["watch"]:
            return
        try:
            final = watch(portal, run["id"], self.stdout.write)
        except KeyboardInterrupt:
            self.stdout.write(f"\nStopped watching. The run goes on: {page}")
            sys.exit(INTERRUPTED)
        sys.exit(0 if final == "COMPLETED" else 1)


def start(portal: Portal, options: dict[str, Any]) -> dict[str, Any]:
    """The run that was made or reopened."""
    parameters, name = as_dict(options["param"]), options["name"]
    key = str(uuid4())  # what is sent again after a lost answer makes no second run
    run: dict[str, Any]
    if options["retry"]:
        path = path_of("flow_runs", options["retry"])
        portal.post(f"{path}/retry", {"from_task": options["from_task"]})
        run = portal.get(path)
    elif options["again"]:
        body = {
            "parameters": parameters,
            "name": name,
            "reuse_results": options["reuse"],
            "idempotency_key": key,
        }
        run = portal.post(f"{path_of('flow_runs', options['again'])}/run_again", body)
    else:
        deployment = find_deployment(portal, options["deployment"])
        body = {"parameters": parameters, "name": name, "tags": options["tag"], "idempotency_key": key}
        run = portal.post(f"deployments/{deployment['id']}/create_flow_run", body)
    return run


def find_deployment(portal: Portal, text: str) -> dict[str, Any]:
    """The deployment `flow/name`. Raises PortalError that names those with similar names."""
    flow, slash, name = text.partition("/")
    if not slash:
        raise PortalError(
            422, f"'{text}' is not of the form FLOW/DEPLOYMENT. {_similar(portal, text)}".strip()
        )
    try:
        found: dict[str, Any] = portal.get(path_of("deployments", "name", flow, name))
    except PortalError as error:
        if error.status != 404:
            raise
        raise PortalError(
            404, f"There is no deployment '{text}'. {_similar(portal, text)}".strip()
        ) from error
    return found


def _similar(portal: Portal, text: str) -> str:
    page = portal.get("deployments/", limit=200)["results"]
    names = [f"{each['flow_name']}/{each['name']}" for each in page]
    if not names:
        return "There are none yet: make one with `python manage.py deploy FILE:FLOW --name NAME`."
    near = get_close_matches(text, names, n=5, cutoff=0.4) or sorted(names)[:5]
    return f"Did you mean {', '.join(near)}?"
