"""First set-up of a database, and every later one: migrations, first admin, API key, demo.

Each step looks first, so running it again changes nothing; two at once take turns.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from flows.models import Membership, Workspace
from flows.models.workspace import DEFAULT_WORKSPACE
from portal.access.models import ApiToken
from portal.access.tokens import create_token, find_token
from portal.ops.data_folder import write_secret
from portal.ops.stack import refuse_placeholder
from runs.session import conninfo_of_django

LOCK = 0x706F7274616C  # "portal"
ADMIN = "admin"
KEY_NAME = "set-up"

Say = Callable[[str], None]


def prepare(
    say: Say, *, admin_password: str = "", api_key_file: Path | None = None, demo: bool = True
) -> None:
    """Bring the database to where this code needs it; `say` gets one line for each thing to know.

    The first admin gets `admin_password`, else a random one that is said once. The API key goes to
    `api_key_file` (mode 0600) if given. Raises StackError for a placeholder password.
    """
    refuse_placeholder("PORTAL_ADMIN_PASSWORD", admin_password)
    with _turn():
        call_command("migrate", interactive=False, verbosity=0)
        admin = _first_admin(say, admin_password)
        _join_default_workspace(admin)
        _api_key(say, admin, api_key_file)
        if demo:
            from portal.demo import deploy_demo  # imports the flow, which only this step needs

            deploy_demo()


def wait_for_database(seconds: float) -> None:
    """Wait until the database lets us in, or for so long: the next attempt then says what is wrong."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            psycopg.connect(**conninfo_of_django()).close()
            return
        time.sleep(0.02)


@contextmanager
def _turn() -> Iterator[None]:
    """Only one preparation of a database at a time, whichever process runs it.

    The lock belongs to a transaction of its own: behind a pooler, a session's would stay with a connection
    that the unlocking may not reach.
    """
    with psycopg.connect(**conninfo_of_django()) as turn:
        turn.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        yield


def is_being_prepared() -> bool:
    """Whether a preparation of this database is under way, in any process."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
            " AND (l.classid::bigint << 32 | l.objid::bigint) = %s)",
            [LOCK],
        )
        return bool(cursor.fetchone()[0])


def _first_admin(say: Say, password: str) -> User:
    users = get_user_model()._default_manager
    admin = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if admin is not None:
        say(f"Login: {admin.get_username()} (`manage.py changepassword` sets a new password)")
        return admin
    chosen = password or secrets.token_urlsafe(12)
    admin = users.create_superuser(ADMIN, "", chosen)
    say(
        f"Login: {ADMIN} / "
        + ("the password in PORTAL_ADMIN_PASSWORD" if password else f"{chosen}   (shown once)")
    )
    return admin


def _join_default_workspace(admin: User) -> None:
    workspace = Workspace.objects.get(name=DEFAULT_WORKSPACE)
    Membership.objects.get_or_create(
        workspace=workspace, user=admin, defaults={"role": Membership.Role.ADMIN}
    )


def _api_key(say: Say, admin: User, file: Path | None) -> None:
    if file is not None and file.exists() and find_token(file.read_text().strip()):
        say(f"API key: in {file}")
        return
    if file is None and ApiToken.objects.filter(user=admin, name=KEY_NAME, revoked=None).exists():
        say(f"API key: made before (`manage.py token create {admin.get_username()}` makes another)")
        return
    workspace = Workspace.objects.get(name=DEFAULT_WORKSPACE)
    _, text = create_token(admin, workspace, KEY_NAME)
    if file is not None:
        write_secret(file, text + "\n")
    say(f"API key: {text}   " + (f"(kept in {file})" if file else "(shown once)"))
