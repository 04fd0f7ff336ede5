"""When deployments are due."""

from flows.sdk.schedules import Cron, Interval, Schedule

__all__ = ["Cron", "Interval", "Schedule"]
