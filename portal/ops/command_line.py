"""Django's command line, for a process whose garbage collector rests until the command is loaded."""

import gc

from django.core.management import ManagementUtility
from django.core.management.base import BaseCommand


class CommandLine(ManagementUtility):
    """`manage.py <command>`, once the collector is off."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """The command. What it has loaded stays for good, so the collector never looks through it."""
        command = super().fetch_command(subcommand)
        gc.freeze()
        gc.enable()
        return command
