"""A pytest fixture: put `pytest_plugins = ["flows.testing.plugin"]` into conftest.py."""

from collections.abc import Iterator

import pytest

from flows.sdk.harness import FlowTestHarness, flow_test_harness


@pytest.fixture
def flow_harness() -> Iterator[FlowTestHarness]:
    """A fresh harness around the test."""
    with flow_test_harness() as harness:
        yield harness
