"""Reading logs: always bounded in time, so that only the run's days are touched."""

from datetime import timedelta

from django.db.models import QuerySet

from runs.models import FlowRun, Log, TaskRun

# Log times come from the agents' clocks, run times partly from the database's.
CLOCK_SKEW = timedelta(hours=1)


def of_background_task(task_run: TaskRun) -> QuerySet[Log]:
    """The log lines of a task run outside of flows, which stand under its own id."""
    lines: QuerySet[Log] = Log.objects.filter(
        flow_run_id=task_run.id, timestamp__gte=task_run.created - CLOCK_SKEW
    )
    if task_run.end_time is not None:
        lines = lines.filter(timestamp__lte=task_run.end_time + CLOCK_SKEW)
    return lines.order_by("timestamp", "id")


def of_run(run: FlowRun) -> QuerySet[Log]:
    """The log lines of a flow run in the order in which they were written."""
    lines: QuerySet[Log] = Log.objects.filter(flow_run=run, timestamp__gte=run.created - CLOCK_SKEW)
    if run.end_time is not None:
        lines = lines.filter(timestamp__lte=run.end_time + CLOCK_SKEW)
    return lines.order_by("timestamp", "id")
