"""Whether this version of Portal and the database go together."""

import pkgutil
from importlib import import_module

from django.db import ProgrammingError, connection

APPS = ("flows", "runs", "agents")


def misfit() -> str:
    """Why an agent of this version may not take runs from this database; empty if it may.

    Compared are the newest migrations: their names begin with their numbers. Raises OperationalError
    when PostgreSQL is away.
    """
    applied = _applied()
    for app in APPS:
        ours, theirs = _newest_of_code(app), max(applied.get(app, [""]))
        if ours not in applied.get(app, []):
            return (
                f"the database is older than this version of Portal (it lacks {app}.{ours}). "
                "Run `manage.py prepare`, then start the agent again."
            )
        if theirs > ours:
            return (
                f"the database is newer than this version of Portal (it has {app}.{theirs}). "
                "Update Portal on this host, then start the agent again."
            )
    return ""


def _newest_of_code(app: str) -> str:
    folder = import_module(f"{app}.migrations").__path__
    names = (module.name for module in pkgutil.iter_modules(folder))
    return max(name for name in names if name[0].isdigit())


def _applied() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations WHERE app = ANY(%s)", [list(APPS)])
            for app, name in cursor.fetchall():
                found.setdefault(app, []).append(name)
    except ProgrammingError:  # there is no such table yet
        pass
    return found
