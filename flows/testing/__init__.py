"""Testing flows: `with flow_test_harness() as harness: ...`. See docs/sdk.md."""

from flows.sdk.clock import FakeClock
from flows.sdk.harness import FlowTestHarness, RecordedRun, flow_test_harness

__all__ = ["FakeClock", "FlowTestHarness", "RecordedRun", "flow_test_harness"]
