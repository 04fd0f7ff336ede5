"""The name under which Prefect's users know the harness."""

from flows.sdk.harness import flow_test_harness as prefect_test_harness

__all__ = ["prefect_test_harness"]
