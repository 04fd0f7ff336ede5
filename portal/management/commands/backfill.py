"""`manage.py backfill`: run a deployment for past slots, or for a grid of parameters."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flows.models.workspace import DEFAULT_WORKSPACE
from flows.sdk.ids import uuid7
from portal.client import Portal, PortalError, connect
from portal.management.arguments import as_dict, parameter_values
from portal.management.commands.runflow import find_deployment
from runs.checks import PORTS
from runs.models.backfill import BackfillState, Which

SHOWN = 5


class Command(BaseCommand):
    """Shows the plan, then makes the backfill."""

    # Not those of URLs, which load every page: half of such a short process.
    requires_system_checks = [PORTS]

    help = (
        "Run a deployment once for each slot of a range (--from, --to), for each combination of parameter "
        "values (--param year=2024,2025), or both. Shows what it comes to; --dry-run leaves it at that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("deployment", metavar="FLOW/DEPLOYMENT")
        parser.add_argument("--from", dest="start", metavar="DATE", help="the first slot: 2026-03-01[T06:00]")
        parser.add_argument("--to", dest="end", metavar="DATE", help="the last slot; a date is its whole day")
        parser.add_argument(
            "--param", "-p", action="append", type=parameter_values, metavar="NAME=A,B,...",
            help="values of a parameter, as JSON or text; may be given several times",
        )  # fmt: skip
        when = parser.add_mutually_exclusive_group()
        when.add_argument("--cron", help="the slots' rule (default: the deployment's only schedule)")
        when.add_argument("--interval", type=float, metavar="SECONDS", help="the same, as an interval")
        when.add_argument("--schedule", metavar="ID", help="the same, as one of several schedules")
        parser.add_argument("--timezone", help="the time zone of --cron (UTC)")
        parser.add_argument("--slot-param", metavar="NAME", help="the parameter that gets the slot")
        parser.add_argument("--only", choices=[Which.MISSING, Which.FAILED], help="leave out what completed")
        parser.add_argument("--concurrency", type=int, metavar="N", help="runs at a time (5)")
        parser.add_argument("--newest-first", action="store_true", help="begin with the latest slot")
        parser.add_argument("--tag", action="append", default=[], help="a tag of the runs")
        parser.add_argument("--dry-run", action="store_true", help="show the plan, make nothing")
        parser.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.backfill(connect(options["workspace"]), options)
        except PortalError as error:
            raise CommandError(str(error)) from error

    def backfill(self, portal: Portal, options: dict[str, Any]) -> None:
        deployment = find_deployment(portal, options["deployment"])
        body = payload(options) | {"deployment_id": deployment["id"]}
        self.show(portal.post("backfills/preview", body))
        if options["dry_run"]:
            self.stdout.write("Nothing was made: this was a dry run.")
            return
        made = portal.post("backfills/", body | {"id": str(uuid7())})
        runs = "being planned" if made["state"] == BackfillState.PLANNING else f"{made['total']} runs"
        self.stdout.write(f"Backfill {made['id']}: {runs}, {made['concurrency']} at a time.")
        self.stdout.write(f"{portal.url}/admin/runs/backfill/{made['id']}/")

    def show(self, plan: dict[str, Any]) -> None:
        about = "About " if plan["is_estimate"] else ""
        runs = "1 run" if plan["count"] == 1 else f"{about}{plan['count']:,} runs"
        self.stdout.write(f"{runs}:" if plan["count"] else "No runs.")
        cells = [*plan["first"], *plan["last"]]
        ends = cells if len(cells) <= 2 * SHOWN else [*cells[:SHOWN], None, *cells[-SHOWN:]]
        for cell in ends:
            self.stdout.write(f"  {line(cell)}" if cell else "  ...")
        for warning in plan["warnings"]:
            self.stdout.write(f"Note: {warning}")


def line(cell: dict[str, Any]) -> str:
    """A cell on one line: its slot and its parameters."""
    slot = str(cell["slot"] or "").replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC")
    given = ", ".join(f"{name}={value}" for name, value in cell["parameters"].items())
    return "  ".join(filter(None, [slot, given]))


def payload(options: dict[str, Any]) -> dict[str, Any]:
    """The body of the API calls."""
    return {
        "start": options["start"],
        "end": options["end"],
        "grid": as_dict(options["param"]),
        "cron": options["cron"],
        "interval": options["interval"],
        "schedule_id": options["schedule"],
        "timezone": options["timezone"],
        "slot_parameter": options["slot_param"],
        "which": options["only"],
        "concurrency": options["concurrency"],
        "newest_first": options["newest_first"],
        "tags": options["tag"],
    }
