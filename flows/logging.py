"""Loggers of runs."""

from flows.sdk.logs import disable_run_logger, get_logger, get_run_logger

__all__ = ["disable_run_logger", "get_logger", "get_run_logger"]
