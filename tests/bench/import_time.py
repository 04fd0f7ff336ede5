"""How much longer Python takes to start with the SDK imported."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tests.bench.figures import Figure

ROUNDS = 15


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def measure(folder: Path) -> list[Figure]:
    bare: list[float] = []
    with_sdk: list[float] = []
    for _ in range(ROUNDS):  # in turn, so that both see the same machine
        bare.append(seconds("pass"))
        with_sdk.append(seconds("from flows import flow, task"))
    more = (median(with_sdk) - median(bare)) * 1e3
    value = f"{more:.0f} ms more than {median(bare) * 1e3:.0f} ms (median of {ROUNDS})"
    return [Figure("from flows import flow, task", value, "<= 130 ms more")]
