"""A control group with a memory limit, as containers have one: where this machine lets us make it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.processes import wait_until

UNIFIED = Path("/sys/fs/cgroup")  # version 2
MEMORY = UNIFIED / "memory"  # version 1


@contextmanager
def memory_cage(mebibytes: int) -> Iterator[Path]:
    """The folder of a group whose processes may use so much memory together, and no swap.

    Its file `cgroup.procs` takes pids. Skips the test where that is not allowed.
    """
    is_first = MEMORY.is_dir()
    cage = (MEMORY if is_first else UNIFIED) / f"portal-test-{uuid4().hex[:8]}"
    try:
        cage.mkdir()
    except OSError:
        pytest.skip("no memory limit can be set here")
    try:
        limit = cage / ("memory.limit_in_bytes" if is_first else "memory.max")
        if not limit.exists():
            pytest.skip("no memory limit can be set here")
        limit.write_text(str(mebibytes << 20))
        swap = cage / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        yield cage
    finally:
        wait_until(lambda: not (cage / "cgroup.procs").read_text(), what="the cage is empty")
        cage.rmdir()
