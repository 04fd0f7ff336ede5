"""Starting an isolated process: a run of a pool of type `process`, in an interpreter of its own.

It gets the pool's interpreter, environment, folder and limits, and none of the agent's secrets: it talks to
the API with a token that opens its run alone. The agent watches over it as over a forked horse.
"""

import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2s
from io import FileIO
from pathlib import Path

from django.conf import settings

import flows
from agents.claim import Claimed, Lease, order_of
from agents.error_output import ErrorOutput
from agents.guard import bear_mark, die_with_parent, go_first
from agents.isolation import Isolation, isolation_of
from agents.supervision import Exit, Supervision
from flows.sdk.execution import HAND_BACK
from flows.sdk.isolated import IsolatedOrder
from flows.sdk.sources import cache_folder, made_at_once
from flows.sdk.states import Failed, State
from runs.run_tokens import make_run_token
from runs.session import Session, in_transaction

# What programs need to find their way. Everything else is for the pool to name: the agent's own environment
# holds the addresses of the database and of Redis, and the keys.
HANDED_DOWN = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "PORTAL_CACHE_DIR",
)  # fmt: skip
CPU_GRACE_SECONDS = 5  # from SIGXCPU, which the flow might ignore, to SIGKILL

# It must run on every Python, to say so on one that is too old. The file for complaints is closed before any
# code of the flow's could find it.
BOOT = """
import os, sys
if sys.path[0] == "":
    del sys.path[0]
complaints = int(sys.argv.pop())
try:
    if sys.version_info < (3, 11):
        raise ImportError("flows need Python 3.11 or newer")
    from flows.sdk.isolated import check_packages, main
    check_packages()
except Exception as error:
    python = "Python " + sys.version.split()[0]
    os.write(complaints, ("%s: %s (%s)" % (type(error).__name__, error, python)).encode())
    sys.exit(1)
os.close(complaints)
main()
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A started process. `pid` is also its process group; `complaints` is a file that it may write to, and
    `errors` its standard error."""

    pid: int
    isolation: Isolation
    complaints: FileIO
    errors: ErrorOutput

    def last_words(self) -> str:
        """What kept it from starting; "" if nothing did. Call once, when it has ended."""
        with self.complaints as file:
            file.seek(0)
            return file.read().decode(errors="replace")


class IsolatedSupervision(Supervision):
    """Watches over an isolated process, and knows how its pool may have ended it."""

    def __init__(self, session: Session, claimed: Claimed, process: Process, grace_seconds: float) -> None:
        super().__init__(session, claimed, process.pid, grace_seconds)
        self._process = process
        self._last_words = self._last_errors = ""

    def _bury(self) -> Exit:
        ended = super()._bury()
        self._last_words = self._process.last_words()
        self._last_errors = self._process.errors.end()
        return ended

    def _last_lines(self) -> str:
        return self._last_errors

    def _end_state(self, lease: Lease, ended: Exit) -> State:
        isolation = self._process.isolation
        if lease is Lease.HELD and self._last_words:
            return Failed(message=isolation.misfit(self._last_words))
        state = super()._end_state(lease, ended)
        limit = isolation.limit_behind(ended.signal) if state.is_crashed() else ""
        return replace(state, message=f"{state.message} {limit}") if limit else state


def start(session: Session, claimed: Claimed) -> Process:
    """Start the process of a claimed run.

    Raises IsolationError for settings that do not work here, OSError when the system has no room, and
    psycopg.Error.
    """
    isolation = isolation_of(session, claimed.run)
    python, folder = isolation.interpreter(sys.executable), isolation.folder()
    environment = _environment(isolation, python)
    order = _order(session, claimed, isolation)
    complaints = FileIO(os.memfd_create("complaints"), "w+")
    errors = ErrorOutput()

    def become() -> None:
        os.dup2(errors.writing, 2)
        os.chdir(folder)
        _limit(resource.RLIMIT_DATA, (isolation.memory_mb or 0) * 2**20)
        _limit(resource.RLIMIT_CPU, isolation.cpu_seconds or 0, CPU_GRACE_SECONDS)
        os.execve(python, [python, "-c", BOOT, str(complaints.fileno())], environment)

    try:
        pid = _forked(become, order, complaints)
    finally:
        errors.begin()
    return Process(pid, isolation, complaints, errors)


def _forked(become: Callable[[], None], order: bytes, complaints: FileIO) -> int:
    """A child with the order as its standard input, about to `become` another program."""
    with FileIO(os.memfd_create("order"), "w+") as stdin:
        stdin.write(order)
        stdin.seek(0)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                for number in (signal.SIGTERM, HAND_BACK):  # the agent's handlers are not meant for it
                    signal.signal(number, signal.SIG_DFL)
                os.setpgid(0, 0)
                die_with_parent(parent)
                bear_mark()
                go_first()
                os.dup2(stdin.fileno(), 0)
                os.set_inheritable(complaints.fileno(), True)
                become()
            except Exception as error:
                complaints.write(str(error).encode())
            finally:
                os._exit(1)
    # Both sides do it: whoever comes first, the group is there for the guard. Refused when the child was so
    # quick that it is the other program already.
    with suppress(PermissionError):
        os.setpgid(pid, pid)
    return pid


def _limit(what: int, most: int, grace: int = 0) -> None:
    if most:
        resource.setrlimit(what, (most, most + grace))


def _environment(isolation: Isolation, python: str) -> dict[str, str]:
    own = {name: os.environ[name] for name in HANDED_DOWN if name in os.environ}
    own["PORTAL_RESULT_STORAGE"] = settings.PORTAL_RESULT_STORAGE
    own["PYTHONUNBUFFERED"] = own["PYTHONFAULTHANDLER"] = "1"
    if isolation.python:  # as activating a virtual environment does
        own["PATH"] = os.pathsep.join(filter(None, (str(Path(python).parent), own.get("PATH"))))
    named = {**own, **isolation.environment}
    named["PYTHONPATH"] = os.pathsep.join(filter(None, (_sdk_folder(), named.get("PYTHONPATH"))))
    return named


def _sdk_folder() -> str:
    """A folder with the agent's own SDK and nothing else.

    The process and what it starts must speak as this agent does, whatever is installed there. Where the
    package lies, other packages lie beside it: they would hide modules of the flow's.
    """
    package = Path(flows.__file__).resolve().parent
    folder = cache_folder("sdk") / blake2s(str(package).encode(), digest_size=6).hexdigest()

    def fill(fresh: Path) -> None:
        fresh.mkdir()
        (fresh / package.name).symlink_to(package)

    if not folder.is_dir():
        made_at_once(folder, fill)
    return str(folder)


def _order(session: Session, claimed: Claimed, isolation: Isolation) -> bytes:
    token = make_run_token(claimed.run.id, claimed.run.attempt)
    order = order_of(claimed, partial(in_transaction, session))
    url, now = settings.PORTAL_AGENT_API_URL, datetime.now(UTC)
    return pickle.dumps(IsolatedOrder(order, url, token, now, isolation.memory_limit()))
