"""`manage.py retention`: remove what is no longer kept, or say what would go."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from agents.services.database import database_time
from agents.services.retention import first_days, remove_days, remove_runs
from flows.models import Deployment, Workspace
from runs.checks import PORTS
from runs.models import RetentionPolicy
from runs.partitions import partitions_before
from runs.retention import preview, rules_of
from runs.rollup import roll_up
from runs.session import DjangoSession

NO_POLICIES = "No retention policy: runs are kept for ever. Make one in the admin: Configuration, Retention."


class Command(BaseCommand):
    """The scheduler does the same every ten minutes."""

    # Not those of URLs, which load every page: half of such a short process.
    requires_system_checks = [PORTS]

    help = "Remove the runs, log lines and events that are no longer kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        now = database_time()
        if not RetentionPolicy.objects.exists():
            self.stdout.write(NO_POLICIES)
        if options["dry_run"]:
            self.tell(now)
        else:
            self.remove(now)

    def tell(self, now: datetime) -> None:
        """Say what would be removed."""
        workspaces = Workspace.objects.in_bulk()
        deployments = Deployment.objects.select_related("flow").in_bulk()
        for each in preview(RetentionPolicy.objects.all(), now):
            where = str(workspaces[each["workspace_id"]])
            if each["deployment_id"]:
                where += f", {deployments[each['deployment_id']]}"
            runs = f"{each['runs']:,} {each['state_type']} runs older than {each['keep_days']} days"
            since = f", the oldest ended {each['oldest']:%Y-%m-%d %H:%M} UTC" if each["oldest"] else ""
            self.stdout.write(f"{where}: {runs}{since}")
        for table, first in first_days(now).items():
            days = partitions_before(table, first)
            self.stdout.write(f"{table}: {len(days)} days before {first} {' '.join(days)}".rstrip())

    def remove(self, now: datetime) -> None:
        """Remove it, however long that takes."""
        roll_up(DjangoSession(), now)  # what goes was counted
        removed = sum(remove_runs(rule, now, most=10**9) for rule in rules_of(RetentionPolicy.objects.all()))
        remove_days(now)
        self.stdout.write(f"Removed {removed:,} runs.")
