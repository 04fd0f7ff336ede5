"""`manage.py deploy`: make a flow runnable from afar."""

from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.models.work_pool import DEFAULT_POOL
from agents.models.work_queue import DEFAULT_QUEUE
from flows.models.workspace import DEFAULT_WORKSPACE
from flows.sdk.bundles import store
from flows.sdk.entrypoints import EntrypointError, load_flow
from flows.sdk.parameters import parameter_schema
from flows.sdk.sources import SourceError
from portal.client import Portal, PortalError, connect, path_of
from portal.management.arguments import as_dict, parameter
from runs.checks import PORTS


class Command(BaseCommand):
    """Loads the flow to read its signature, then makes or changes the deployment."""

    # Not those of URLs, which load every page: half of such a short process.
    requires_system_checks = [PORTS]

    help = (
        "Make a deployment of a flow, or change the one with this name. The file is imported here to read "
        "the flow's parameters; agents load it from the same place when they run it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("entrypoint", metavar="FILE:FLOW", help="for example weather.py:report")
        parser.add_argument("--name", required=True, help="the deployment's name")
        parser.add_argument(
            "--queue", default=DEFAULT_QUEUE, metavar="[[WORKSPACE/]POOL/]QUEUE",
            help="where its runs wait for an agent; made if missing (default: default)",
        )  # fmt: skip
        parser.add_argument("--description", help="default: the flow's docstring")
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)
        parser.add_argument(
            "--param", "-p", action="append", type=parameter, metavar="NAME=VALUE",
            help="a default parameter, as JSON or text; may be given several times",
        )  # fmt: skip
        parser.add_argument("--tag", action="append", default=[], help="a tag of its runs")
        parser.add_argument(
            "--bundle", action="store_true", help="store the folder's code, so that any agent runs exactly it"
        )
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--list-versions", action="store_true", help="deploy nothing, show what was")
        instead.add_argument("--rollback", type=int, metavar="N", help="go back to version N instead")
        self.add_schedule(parser)
        self.add_policies(parser)

    def add_schedule(self, parser: ArgumentParser) -> None:
        """When it runs by itself."""
        when = parser.add_mutually_exclusive_group()
        when.add_argument("--cron", help="run by the clock, for example '0 6 * * *'")
        when.add_argument("--interval", type=float, metavar="SECONDS", help="run every so many seconds")
        when.add_argument("--rrule", help="run by a recurrence rule, for example 'FREQ=WEEKLY;BYDAY=MO'")
        parser.add_argument("--timezone", help="of --cron and --rrule, such as Europe/Berlin (default: UTC)")
        parser.add_argument("--calendar", metavar="NAME", help="leave out what this calendar forbids")
        parser.add_argument(
            "--missed", choices=["skip", "latest", "all"],
            help="which runs to make up for when no scheduler ran (latest)",
        )  # fmt: skip

    def add_policies(self, parser: ArgumentParser) -> None:
        """What becomes of runs that crash, are interrupted or collide."""
        parser.add_argument(
            "--crash-retries",
            type=int,
            metavar="N",
            help="run again after a crash (default: as the flow says)",
        )
        parser.add_argument("--crash-retry-delay", type=float, metavar="SECONDS", help="wait before each")
        parser.add_argument(
            "--hand-back",
            action=BooleanOptionalAction,
            help="whether an agent that stops may give a run that has begun to another agent, which begins "
            "it again (default: yes)",
        )
        parser.add_argument(
            "--concurrency-limit", type=int, metavar="N", help="how many of its runs may be under way at once"
        )
        parser.add_argument(
            "--collision-strategy",
            choices=["ENQUEUE", "CANCEL_NEW", "CANCEL_RUNNING", "KEEP_LATEST"],
            help="what becomes of a run that finds no free slot (ENQUEUE: it waits)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        workspace, pool, queue = _queue(options["queue"], options["workspace"])
        body = payload(options) | {"work_pool_name": pool, "work_queue_name": queue}
        try:
            server = connect(workspace)
            if options["list_versions"] or options["rollback"]:
                self.look_back(server, body, options["rollback"])
                return
            if options["bundle"]:
                body["path"] = store(server, body["path"])
            self.report(server.post("deployments/", body))
        except (PortalError, SourceError) as error:
            raise CommandError(str(error)) from error

    def look_back(self, server: Portal, body: dict[str, Any], number: int | None) -> None:
        """Go back to a version, or list those that there are; "*" marks the one in use."""
        found = server.get(path_of("deployments", "name", body["flow_name"], body["name"]))
        path = f"deployments/{found['id']}"
        if number:
            self.report(server.post(f"{path}/rollback", {"number": number}))
            return
        for each in server.get(f"{path}/versions"):
            mark = "*" if each["number"] == found["version_number"] else " "
            code = f"{each['values']['entrypoint']} in {each['values']['path']}"
            self.stdout.write(f"{mark} {each['number']:>4}  {each['created']}  {code}")

    def report(self, made: dict[str, Any]) -> None:
        name = f"{made['flow_name']}/{made['name']}"
        self.stdout.write(f"Deployed {name} on queue {made['work_pool_name']}/{made['work_queue_name']}.")
        for schedule in made["schedules"]:
            rule = schedule["schedule"]
            kind = next(kind for kind in ("cron", "rrule", "interval") if kind in rule)
            when = f"every {rule[kind]:g} s" if kind == "interval" else f"{kind} {rule[kind]}"
            off = "" if schedule["active"] else " (switched off)"
            self.stdout.write(f"Schedule: {when}, {rule['timezone']}{off}.")
        self.stdout.write(f"Run it:   python manage.py runflow {name} --watch")


def payload(options: dict[str, Any]) -> dict[str, Any]:
    """The body of the API call. Raises CommandError when the flow cannot be loaded."""
    entrypoint, folder = _located(options["entrypoint"])
    try:
        flow = load_flow(entrypoint, folder)
        schema = parameter_schema(flow.fn)
    except EntrypointError as error:
        raise CommandError(str(error)) from error
    return {
        "flow_name": flow.name,
        "name": options["name"],
        "entrypoint": entrypoint,
        "path": folder,
        "parameters": as_dict(options["param"]),
        "parameter_openapi_schema": schema,
        "schedules": _schedules(options),
        "tags": [*flow.tags, *options["tag"]],
        "description": flow.description if options["description"] is None else options["description"],
        "version": flow.version,
        "crash_retries": options["crash_retries"],
        "crash_retry_delay_seconds": options["crash_retry_delay"],
        "hand_back": options["hand_back"],
        "concurrency_limit": options["concurrency_limit"],
        "collision_strategy": options["collision_strategy"],
    }


def _located(entrypoint: str) -> tuple[str, str]:
    """The entrypoint and the folder that it is relative to: this one, or else the file's own."""
    file, colon, name = entrypoint.rpartition(":")
    if not (colon and file and name):
        raise CommandError(f"'{entrypoint}' is not of the form FILE:FLOW, for example weather.py:report.")
    here, path = Path.cwd(), Path(file)
    if path.suffix != ".py" or not path.is_absolute():
        return entrypoint, str(here)
    return f"{path.name}:{name}", str(path.parent)


def _schedules(options: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("cron", "interval", "rrule", "timezone")
    rule = {name: options[name] for name in names if options[name] is not None}
    if "timezone" in rule and not {"cron", "rrule"} & rule.keys():
        raise CommandError("--timezone says how to read --cron or --rrule, which are missing.")
    if not rule and (options["calendar"] or options["missed"]):
        raise CommandError("--calendar and --missed go with --cron, --interval or --rrule.")
    schedule = {"schedule": rule, "calendar": options["calendar"], "missed_runs": options["missed"]}
    return [{name: value for name, value in schedule.items() if value is not None}] if rule else []


def _queue(name: str, workspace: str) -> tuple[str, str, str]:
    """`[[workspace/]pool/]queue` in its three parts."""
    parts = name.split("/")
    if len(parts) > 3:
        raise CommandError(f"'{name}' is not of the form [[WORKSPACE/]POOL/]QUEUE.")
    filled = [workspace, DEFAULT_POOL][: 3 - len(parts)] + parts
    return filled[0], filled[1], filled[2]
