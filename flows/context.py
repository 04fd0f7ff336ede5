"""What the running code stands in."""

from flows.sdk.context import FlowRunContext, MissingContextError, TaskRunContext, get_run_context, tags

__all__ = ["FlowRunContext", "MissingContextError", "TaskRunContext", "get_run_context", "tags"]
