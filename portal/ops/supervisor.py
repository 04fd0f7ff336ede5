"""Keeps programs running: prints their output line by line, starts again what dies. Single-threaded."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from portal.ops import processes

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY_AFTER = 60.0


@dataclass(slots=True)
class Program:
    """A program to run. `once` ones are not started again."""

    name: str
    arguments: Sequence[str]
    once: bool = False
    on_line: Callable[[str], None] | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    delay: float = FIRST_DELAY
    start_at: float | None = None
    rest: bytes = field(default=b"", repr=False)
    exit_code: int | None = None


class Supervisor:
    """Runs programs as children that die with this process."""

    def __init__(self, environment: Mapping[str, str], output: IO[str] = sys.stdout) -> None:
        self.environment = environment
        self.programs: list[Program] = []
        self._output = output
        self._selector = selectors.DefaultSelector()

    def start(self, program: Program, now: float | None = None) -> None:
        """Start a program and watch it."""
        if program not in self.programs:
            self.programs.append(program)
        program.process = processes.spawn(
            program.arguments, death_signal=signal.SIGKILL, environment=self.environment
        )
        program.started = time.monotonic() if now is None else now
        program.start_at = program.exit_code = None
        assert program.process.stdout is not None
        os.set_blocking(program.process.stdout.fileno(), False)
        self._selector.register(program.process.stdout, selectors.EVENT_READ, program)
        watch = os.pidfd_open(program.process.pid)
        self._selector.register(watch, selectors.EVENT_READ, program)

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for something to happen, and deal with it."""
        now = time.monotonic()
        due = [p.start_at - now for p in self.programs if p.start_at is not None]
        for key, _ in self._selector.select(max(0.0, min([timeout, *due]))):
            if isinstance(key.fileobj, int):
                self._reap(key.fileobj, key.data)
            else:
                self._relay(key.data)
        self._start_due(time.monotonic())

    def stop(self, timeout: float) -> None:
        """Ask all to finish, after half of `timeout` seconds to hurry, then kill their groups.

        An agent takes the first SIGTERM as "finish the run", the second as "end it".
        """
        for program in self.programs:
            program.once = True
            program.start_at = None
        for _ in range(2):
            for process in self._running():
                process.terminate()
            deadline = time.monotonic() + timeout / 2
            while self._running() and time.monotonic() < deadline:
                self.step(0.2)
        for process in self._running():
            processes.end(process, signal.SIGKILL, 0)

    def _running(self) -> "list[subprocess.Popen[bytes]]":
        return [program.process for program in self.programs if program.process is not None]

    def say(self, name: str, text: str) -> None:
        """Print one line under a program's name."""
        print(f"{name:<10}| {text}", file=self._output, flush=True)

    def _relay(self, program: Program) -> None:
        if program.process is None or program.process.stdout is None:
            return  # it was reaped, and its pipe emptied, in this very step
        data = program.process.stdout.read(65536)
        if data == b"":
            self._selector.unregister(program.process.stdout)
            return
        *lines, program.rest = (program.rest + (data or b"")).split(b"\n")
        for line in lines:
            self._print(program, line)

    def _print(self, program: Program, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if program.on_line is not None:
            program.on_line(text)
        else:
            self.say(program.name, text)

    def _reap(self, watch: int, program: Program) -> None:
        self._selector.unregister(watch)
        os.close(watch)
        process = program.process
        assert process is not None and process.stdout is not None
        program.exit_code = process.wait()
        self._drain(program)
        program.process = None
        if program.once:
            return
        if time.monotonic() - program.started > STEADY_AFTER:
            program.delay = FIRST_DELAY
        self.say(program.name, f"ended ({_reason(program.exit_code)}); again in {program.delay:g} s")
        program.start_at = time.monotonic() + program.delay
        program.delay = min(program.delay * 2, LONGEST_DELAY)

    def _drain(self, program: Program) -> None:
        """Print what is still in the pipe. A grandchild may hold it open, so never wait for its end."""
        process = program.process
        assert process is not None and process.stdout is not None
        if process.stdout in self._selector.get_map():
            self._relay(program)
        if process.stdout in self._selector.get_map():
            self._selector.unregister(process.stdout)
        if program.rest:
            self._print(program, program.rest)
            program.rest = b""
        process.stdout.close()

    def _start_due(self, now: float) -> None:
        for program in self.programs:
            if program.start_at is not None and program.start_at <= now:
                self.start(program, now)


def _reason(exit_code: int) -> str:
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
