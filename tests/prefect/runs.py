"""Flow runs that Prefect's clients execute."""

from typing import Any

from runs.models import FlowRun
from tests.factories import make_run


def prefect_run(run: FlowRun | None = None, **values: Any) -> FlowRun:
    """A run in no queue of Portal's agents, as those of scripts and of `serve()` are."""
    run = run or make_run()
    FlowRun.objects.filter(id=run.id).update(work_queue=None, **values)
    run.refresh_from_db()
    return run
