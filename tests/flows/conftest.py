"""SDK tests run flows in memory: no database, no server."""

from collections.abc import Iterator

import pytest

from flows.sdk.context import recording
from flows.sdk.memory import MemoryRecorder


@pytest.fixture
def recorder() -> Iterator[MemoryRecorder]:
    """Everything the flows called in the test report."""
    with recording(MemoryRecorder()) as memory:
        yield memory
