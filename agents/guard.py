"""No orphans: when an agent dies, however it dies, its run's processes die with it.

Two nets. `die_with_parent` lets the kernel kill the horse as soon as its parent is gone. A `Guard` is a
tiny shell in the horse's process group that reads from a pipe whose other end only the parent holds:
at end of file it kills the whole group, so children of the horse die too. Neither needs the parent's help.
A process that left the group (setsid, as daemons do) is found by the mark that the horse bears and hands
down to everything below it. While the agent lives, `agents.offspring` does more.
"""

import contextlib
import ctypes
import os
import resource
import secrets
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Linux enforces no limit of file locks, nobody asks for one, and the number passes to every child: through
# fork and exec, with another environment, all files closed, another user, group or session.
_RLIMIT_LOCKS = 10
# Again and again: one may have forked while it was looked for. Not until none is left: where nobody reaps
# them, the dead can be found, too.
_GUARD = """
trap "" TERM INT HUP QUIT
read _
for again in 1 2 3 4 5; do
    marked=$(grep -lsF " $0 " /proc/[0-9]*/limits)
    for limits in $marked; do
        process=${limits#/proc/}
        kill -KILL "${process%/limits}"
    done
done
kill -KILL 0
"""
_PID_BITS = 22
OOM_SCORE = 500  # as large as half of the memory
_AGENT = secrets.randbits(40)  # a fork has that of its parent
_libc = ctypes.CDLL(None, use_errno=True)


def _mark_of(horse: int) -> int:
    """What this horse and the processes below it bear, and those of no other horse."""
    return _AGENT << _PID_BITS | horse


def bear_mark() -> None:
    """In a forked horse: be found by its guard, with all that it will start."""
    _, most = resource.getrlimit(_RLIMIT_LOCKS)
    # Refused where somebody has limited them, or in a sandbox that knows no such limit: one net less.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(_RLIMIT_LOCKS, (_mark_of(os.getpid()), most))


def die_with_parent(parent_pid: int) -> None:
    """In a forked child: be killed when the parent dies; exit now if it is already dead."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have died before prctl took effect; the kernel would never tell.
    if os.getppid() != parent_pid:
        os._exit(1)


def go_first() -> None:
    """In a forked horse: when memory runs out, let the kernel kill this process and what it will start
    before agents and servers of the same size."""
    with contextlib.suppress(OSError):  # some sandboxes have no such file
        wish = Path("/proc/self/oom_score_adj")
        wish.write_text(str(max(OOM_SCORE, int(wish.read_text()))))


class Guard:
    """Watches over the process group of one horse, on behalf of the process that made it."""

    def __init__(self, group: int) -> None:
        """`group` is the horse's process group. The pipe is made after the fork: the horse never holds it."""
        self._group = group
        reading, self._writing = os.pipe()  # both are closed on exec
        try:
            self._pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _GUARD, str(_mark_of(group))],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
                setpgroup=group,
            )
        except OSError:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def kill_group(self) -> None:
        """Kill every process of the group, the guard included.

        The group's number cannot have been given away: the guard holds it until it is reaped.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)

    def close(self) -> None:
        """Kill what is left of the group, and leave no zombie. Call once, after the horse ended."""
        self.kill_group()
        os.close(self._writing)
        os.waitpid(self._pid, 0)
