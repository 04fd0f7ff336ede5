"""What may be done with a flow run, where Prefect's users look for it."""

from flows.sdk.pausing import pause_flow_run, resume_flow_run, suspend_flow_run

__all__ = ["pause_flow_run", "resume_flow_run", "suspend_flow_run"]
