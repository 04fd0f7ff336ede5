"""What `manage.py` does before and after Django: finds the stack, and says in one line what is wrong."""

import gc
import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from portal.ops import stack

NEEDS_NO_STACK = {
    "",
    "check",
    "collectstatic",
    "diffsettings",
    "help",
    "makemessages",
    "compilemessages",
    "makemigrations",
    "startapp",
    "startproject",
    "test",
    "up",
    "version",
}
HTTP_COMMANDS = {"backfill", "deploy", "runflow"}


def main(arguments: Sequence[str]) -> None:
    """Run a management command; exits with 1 and a clear text when the stack is missing or away."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if list(arguments[1:2]) == ["up"]:
        from portal.ops import up

        sys.exit(up.main(arguments[2:]))
    try:
        found = stack.find_stack()
    except stack.StackError as error:
        sys.exit(str(error))
    if found is None and needs_stack(arguments):
        sys.exit(stack.NOT_FOUND)
    _run(list(arguments), found)


def needs_stack(arguments: Sequence[str]) -> bool:
    """Whether this command line talks to the database or Redis."""
    command = arguments[1] if len(arguments) > 1 else ""
    if command in HTTP_COMMANDS and os.environ.get("PORTAL_API_URL"):
        return False
    return not (command.startswith("-") or command in NEEDS_NO_STACK or {"-h", "--help"} & set(arguments))


def _run(arguments: list[str], found: stack.Stack | None) -> None:
    gc.disable()  # a seventh of the time of loading goes to collections that find next to nothing
    from django.db.utils import OperationalError
    from redis.exceptions import ConnectionError as RedisConnectionError

    from portal.ops.command_line import CommandLine

    try:
        CommandLine(arguments).execute()
    except stack.StackError as error:  # of the settings
        sys.exit(str(error))
    except OperationalError as error:
        if found is None or "--traceback" in arguments or _database_answers():
            raise
        sys.exit(_explain("The database", "DATABASE_URL", found.database_url, error))
    except RedisConnectionError as error:
        if found is None or "--traceback" in arguments:
            raise
        sys.exit(_explain("Redis", "REDIS_URL", found.redis_url, error))


def _database_answers() -> bool:
    """Whether the error was a query's, not the connection's."""
    from django.db import connection

    try:
        connection.close()
        connection.ensure_connection()
    except Exception:
        return False
    return True


def _explain(what: str, variable: str, url: str, error: Exception) -> str:
    from runs.pooler import explained

    reason = explained(error)
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if os.environ.get(variable):
        advice = (
            f"Check {variable}: host, port, user, password (compose: POSTGRES_PASSWORD), and that it runs."
        )
    else:
        advice = (
            f"The address is from {stack.stack_file()}: start that stack by `make run`, or set {variable}."
        )
    return f"{what} at {address} does not answer: {reason}\n{advice}"
