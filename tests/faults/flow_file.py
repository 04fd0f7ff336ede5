"""Flows that go wrong. Each writes its process id to `<folder>/pid` when user code starts."""

import contextvars
import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import time_machine

from flows import flow, get_run_logger, task, unmapped
from flows.cache_policies import TASK_SOURCE
from flows.concurrency import concurrency
from flows.runtime import flow_run
from flows.sdk.states import State


def _started(folder: str) -> Path:
    path = Path(folder)
    (path / "pid.new").write_text(str(os.getpid()))
    (path / "pid.new").rename(path / "pid")
    return path


def _child(path: Path) -> None:
    """A process of the flow's own, which would outlive it if nobody looked after it."""
    child = subprocess.Popen(["sleep", "600"])
    (path / "child").write_text(str(child.pid))


@flow
def quick(folder: str) -> None:
    _started(folder)


@flow
def count(folder: str) -> None:
    """Leaves one line per execution."""
    with Path(folder, "executions").open("a") as lines:
        lines.write("once\n")


@flow
def hold(folder: str) -> None:
    """Runs until the file `go` appears."""
    path = Path(folder)
    _child(path)
    _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)


@flow
def stubborn(folder: str) -> None:
    """Ignores SIGTERM, and so does its child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child(Path(folder))
    _started(folder)
    while True:
        time.sleep(1)


@flow
def vanish(folder: str) -> None:
    """Ends the process behind everybody's back, with a friendly exit code."""
    _started(folder)
    os._exit(0)


@flow(crash_retries=1)
def unlucky(folder: str) -> None:
    """Runs until the file `go` appears; asks to be run again after a crash."""
    path = _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)


@task
def end_the_process() -> None:
    time.sleep(0.5)  # so that its state has left the process
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def suicidal(folder: str) -> None:
    """A task of it kills the process."""
    _started(folder)
    end_the_process()


@task
def sleep_long() -> None:
    time.sleep(600)


@flow
def leaves_a_thread(folder: str) -> None:
    """Ends while a thread of its own is within a task."""
    threading.Thread(target=contextvars.copy_context().run, args=(sleep_long,)).start()
    time.sleep(0.2)
    _started(folder)


@flow(flow_run_name="called-{word}")
def named(folder: str, word: str = "so") -> None:
    _started(folder)


def _note(flow: object, run: object, state: State) -> None:
    get_run_logger().info("hook saw %s", state.name)


def _raise(flow: object, run: object, state: State) -> None:
    raise RuntimeError("the hook is broken")


@flow(on_running=[_note], on_completion=[_raise, _note])
def hooked(folder: str) -> None:
    _started(folder)


@flow(on_cancellation=[_note], on_completion=[_note])
def hooked_to_its_end(folder: str) -> None:
    _started(folder)
    time.sleep(600)


@flow(timeout_seconds=0.3)
def deaf(folder: str) -> None:
    """Is in C code that listens to nobody and lets no other thread run."""
    _started(folder)
    sum(range(10**12))


@flow(timeout_seconds=0.3)
def too_slow(folder: str) -> None:
    """Waits in C code."""
    _started(folder)
    ctypes.CDLL(None).sleep(600)


@flow
def child() -> None: ...


@flow(timeout_seconds=0.5)
def busy(folder: str) -> None:
    """Calls one subflow after the other: its timeout passes somewhere in the recorder."""
    _started(folder)
    while True:
        child()


@task(cache_policy=TASK_SOURCE)
def compute_once(folder: str) -> str:
    """Leaves one line per execution, and runs until the file `go` appears."""
    with Path(folder, "executions").open("a") as lines:
        lines.write("once\n")
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return "computed"


@flow
def shares(folder: str) -> str:
    _started(folder)
    return compute_once(folder)


@task
def note(folder: str, step: int) -> int:
    with Path(folder, "steps").open("a") as lines:
        lines.write(f"{step}\n")
    return step


@flow(crash_retries=1)
def resumes(folder: str) -> list[int]:
    """Is killed after its second step, the first time."""
    done = note.map(unmapped(folder), [1, 2]).result()
    path = _started(folder)
    while not (path / "go").exists():
        time.sleep(0.02)
    return [*done, note(folder, 3)]


@task
def ballast(folder: str, size: int) -> str:
    note.fn(folder, size)
    return "x" * size


@flow
def lands(folder: str) -> int:
    """Fails after three steps, one of them with a result too large for a row, until `go` is there."""
    small = note(folder, 1)
    large = ballast(folder, 600_000)
    if not Path(folder, "go").exists():
        raise RuntimeError("not yet")
    return small + len(large) + note(folder, 2)


LINES_PER_STEP = 5


@task
def work(step: int) -> int:
    time.sleep(0.02)
    return step


@flow
def works(folder: str, steps: int = 8) -> int:
    """Leaves its id in `executions` once per execution; counts its log lines."""
    with Path(folder, "executions").open("a") as lines:
        lines.write(f"{flow_run.id}\n")
    logger = get_run_logger()
    total = 0
    for step in range(steps):
        total += work(step)
        for line in range(LINES_PER_STEP):
            logger.info("line %d of %d", step * LINES_PER_STEP + line + 1, steps * LINES_PER_STEP)
    return total


@flow(crash_retries=20)
def survives(folder: str) -> None:
    """As `works`, but asks to be run again after crashes."""
    with Path(folder, "executions").open("a") as lines:
        lines.write(f"{flow_run.id}\n")
    for step in range(8):
        work(step)


@flow
def talks(folder: str) -> None:
    """Logs a line every 50 ms until the file `go` appears."""
    path = _started(folder)
    while not (path / "go").exists():
        get_run_logger().info("still here")
        time.sleep(0.05)


@flow
def segfaults(folder: str) -> None:
    """Reads where nothing is."""
    _started(folder)
    ctypes.string_at(0)


@flow(crash_retries=3)
def poison(folder: str) -> None:
    """Crashes whatever executes it, each time."""
    with Path(folder, "executions").open("a") as lines:
        lines.write("once\n")
    ctypes.string_at(0)


@flow
def hungry(folder: str) -> None:
    """Wants more memory than its process may have."""
    _started(folder)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(2 << 30)


@flow
def greedy(folder: str) -> None:
    """Takes memory until somebody stops it; fails before it harms a machine where nobody does."""
    _started(folder)
    hoard = []
    while len(hoard) < 200:
        hoard.append(b"x" * (10 << 20))
    raise AssertionError("2 GB, and no limit was met")


def peak_mib() -> int:
    """The most memory that this process ever held, in MiB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@flow
def floods(folder: str, lines: int, width: int) -> None:
    """Logs as fast as it can; leaves the megabytes by which its process grew in `grown`."""
    path = _started(folder)
    before = peak_mib()
    logger = get_run_logger()
    for line in range(1, lines + 1):
        logger.info("line %d of %d %s", line, lines, "x" * width)
    (path / "grown").write_text(str(peak_mib() - before))


@flow(timeout_seconds=60)
def jumps(folder: str, seconds: float) -> None:
    """Somebody sets the clock while it runs."""
    _started(folder)
    work(1)
    time_machine.travel(time.time() + seconds, tick=True).start()
    work(2)


@flow
def measures(folder: str, text: str) -> None:
    """Leaves the length of a parameter in `measured`."""
    Path(folder, "measured").write_text(str(len(text)))


@flow
def holds_a_slot(folder: str) -> None:
    """Goes through a gate for one, and stays there until the file `go` appears."""
    with concurrency("gate"):
        path = _started(folder)
        while not (path / "go").exists():
            time.sleep(0.02)
