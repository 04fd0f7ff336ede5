"""What processes that wait for work keep out of their memory."""

import os
import subprocess
import sys

import pytest

from tests.processes import PROJECT

SCHEDULER = """
import django
django.setup()
from agents.management.commands.scheduler import Command
assert Command().check(tags=Command.requires_system_checks) is None
"""

AGENT = """
import django
django.setup()
from django.conf import settings
from agents.management.commands import rqworker
from agents.warmth import warm_up
warm_up(settings.AGENT_PRELOAD)
"""

PREPARE = """
import django
django.setup()
from portal.management.commands import prepare
"""

SHORT = """
import django
django.setup()
from django.core.management import load_command_class
command = load_command_class("portal", sys.argv[1])
assert command.check(tags=command.requires_system_checks) is None
"""

API = {"portal.api.urls", "rest_framework.views"}
PAGES = {"portal.urls", "portal.admin.register", "portal.pages", "markdown_it"}
CRYPTOGRAPHY = {"cryptography.fernet"}


@pytest.mark.parametrize(
    ("command", "script", "unused"),
    [
        ("scheduler", SCHEDULER, API | PAGES | CRYPTOGRAPHY),
        ("rqworker", AGENT, PAGES),
        ("prepare", PREPARE, API | PAGES | CRYPTOGRAPHY),
        *[(name, SHORT, API | PAGES) for name in ("backfill", "deploy", "retention", "runflow", "token")],
    ],
)
def test_what_a_process_does_not_load(command: str, script: str, unused: set[str]) -> None:
    done = python(command, f"{script}\nprint(*sorted({unused} & set(sys.modules)))")

    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


def test_a_flow_may_ask_for_the_address_of_a_page() -> None:
    done = python(
        "rqworker",
        "import django\ndjango.setup()\n"
        "from django.urls import reverse\nprint(reverse('admin:runs_flowrun_changelist'))",
    )

    assert (done.stdout.strip(), done.returncode) == ("/admin/runs/flowrun/", 0), done.stderr


def python(command: str, script: str) -> "subprocess.CompletedProcess[str]":
    """Run `script` in a process that is what `manage.py <command>` is."""
    own = {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}", command],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
    )
