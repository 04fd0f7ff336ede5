"""The unmodified Prefect client, in an environment of its own."""

import os
import subprocess
from pathlib import Path

from tests.processes import PROJECT, Child, RunningStack

PATIENCE = 240.0  # seconds for one command: Prefect's own start takes three to ten of them
QUIET = {
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_CLI_PROMPT": "false",
    "NO_COLOR": "1",
    "COLUMNS": "200",
}


def prefect_python() -> str | None:
    """The Python that can `import prefect`: `PREFECT_PYTHON`, or what `make prefect-client` made."""
    made = PROJECT / ".venv-prefect" / "bin" / "python"
    return os.environ.get("PREFECT_PYTHON") or (str(made) if made.exists() else None)


class PrefectClient:
    """Prefect's client with a home of its own. Of Portal it knows what a user tells it: address, token."""

    def __init__(self, stack: RunningStack, python: str, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.folder = stack.folder
        self._stack = stack
        self._python = python
        # Nothing of Portal's may reach it, neither settings nor modules.
        ours = ("PORTAL_", "DATABASE_", "REDIS_", "DJANGO_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        home = stack.folder / "prefect-home"
        self.environment = {
            **inherited,
            **QUIET,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": url,
            "PREFECT_API_AUTH_STRING": token,
            "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        """Run `python <arguments>` to its end; returns what it printed. Fails the test on the wrong exit."""
        done = subprocess.run(
            [self._python, *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        assert (done.returncode != 0) == fails, f"exit {done.returncode} of {arguments}:\n{done.stdout}"
        return done.stdout

    def cli(self, *arguments: str, fails: bool = False) -> str:
        """Run `prefect <arguments>` to its end; returns what it printed."""
        return self.run("-m", "prefect", *arguments, fails=fails)

    def start(self, *arguments: str, **environment: str) -> Child:
        """Start `python <arguments>`; it is stopped when the test is over."""
        return self._stack.start_python(self._python, *arguments, env={**self.environment, **environment})
