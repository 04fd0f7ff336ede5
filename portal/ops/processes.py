"""Starting and ending processes so that none outlives its owner. Linux only; knows no Django."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
LOG_MODE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(death_signal: int, parent: int) -> None:
    """In a fresh child: ask the kernel for `death_signal` when the parent dies.

    A parent that died before the call would never be noticed, hence the second look.
    """
    _libc.prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def become(user: str | None) -> dict[str, Any]:
    """Arguments of `subprocess` that run a program as this system user; None is the caller."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def spawn(
    arguments: Sequence[str],
    *,
    death_signal: int,
    log_file: Path | None = None,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, so that Ctrl-C reaches only us and we choose the order.

    Its output goes to `log_file`, else to a pipe. Call from the main thread: the kernel watches
    the thread that forks, not the process.
    """
    parent = os.getpid()
    output = os.open(log_file, LOG_MODE, 0o600) if log_file else subprocess.PIPE
    try:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            **become(user),
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(death_signal, parent),
        )
    finally:
        if log_file:
            os.close(output)


def wait_until(condition: Callable[[], bool], timeout: float, pause: float = 0.01) -> bool:
    """Whether `condition` became true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def end(process: "subprocess.Popen[bytes]", first: int, timeout: float) -> None:
    """Send `first`, wait `timeout` seconds, then kill the process and its group."""
    if process.poll() is None:
        process.send_signal(first)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_stranger(pid: int, first: int, timeout: float) -> None:
    """As `end`, for a process that is not our child."""
    for number in (first, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_until(lambda: working_folder(pid) is None, timeout):
            return


def working_folder(pid: int) -> Path | None:
    """Where a process runs; None if it is gone, a zombie, or not ours to see."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def remove_tree(folder: Path) -> None:
    """Remove a folder that may be missing."""
    if folder.exists():
        shutil.rmtree(folder)
