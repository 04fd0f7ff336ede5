"""What processes that wait for work keep out of their memory."""

import os
import subprocess
import sys

from tests.processes import PROJECT

SCHEDULER = """
import sys
import django
django.setup()
from agents.management.commands.scheduler import Command
assert Command().check(tags=Command.requires_system_checks) is None
print(*sorted({"portal.urls", "rest_framework.views", "cryptography.fernet"} & set(sys.modules)))
"""


def test_the_scheduler_loads_neither_api_nor_cryptography() -> None:
    own = {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", SCHEDULER], env={**os.environ, **own}, capture_output=True, text=True
    )

    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
