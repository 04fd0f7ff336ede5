import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.ops.prepare import prepare, wait_for_database
from portal.ops.stack import StackError


class Command(BaseCommand):
    help = "Set up the database: migrations, first admin, API key, demo flow. Safe to run again."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--api-key-file", type=Path, help="write the API key here (mode 0600)")
        parser.add_argument("--no-demo", action="store_true", help="do not deploy the demo flow")

        parser.add_argument(
            "--wait",
            type=float,
            default=0,
            metavar="SECONDS",
            help="how long to wait for a database that is just starting (default: 0)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wait_for_database(options["wait"])
        try:
            prepare(
                self.stdout.write,
                admin_password=os.environ.get("PORTAL_ADMIN_PASSWORD", ""),
                api_key_file=options["api_key_file"],
                demo=not options["no_demo"],
            )
        except StackError as error:
            raise CommandError(str(error)) from error
