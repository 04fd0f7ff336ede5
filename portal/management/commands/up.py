from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.ops import up


class Command(BaseCommand):
    """Listed for `manage.py help`; `manage.py` itself runs `up` without loading Django."""

    help = "Run the whole stack in one terminal: PostgreSQL, Valkey, server, scheduler and agents."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        up.add_arguments(parser)

    def run_from_argv(self, argv: list[str]) -> None:
        raise SystemExit(up.main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        raise SystemExit(up.main([]))
