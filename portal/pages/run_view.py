"""What the run page says about a run, ready for its templates."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString
from django.utils.timezone import now

from agents.waiting import waiting_on
from flows.catalog.json_text import json_text
from portal.admin.looks import span
from portal.admin.strips import bars, recent_runs
from portal.pages.artifacts import Exhibit, exhibits_of
from portal.pages.markdown import as_html
from portal.pages.pausing import pause_of_run
from runs.logs import of_run
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.models.flow_run import NEXT, TERMINAL, StateType
from runs.pausing import Pause
from runs.retrying import plain_name

KINDS = {
    "flow_run": "runs_flowrun", "flow": "flows_flow", "deployment": "flows_deployment",
    "schedule": "flows_schedule", "calendar": "flows_calendar",
    "work_queue": "agents_workqueue", "work_pool": "agents_workpool", "agent": "agents_agent",
    "concurrency_limit": "runs_concurrencylimit",
}  # fmt: skip
MOST_STATES = 50
MOST_RELATIVES = 20
MOST_RETRY_POINTS = 20
CALLS_READ = 1000
TRACE_LINES = 6
ENGINE = "/flows/sdk/"
ERROR = 40
WATERFALL_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a start: `label` was reached `took_ms` after the step before it."""

    label: str
    took_ms: float
    x: float
    width: float

    @property
    def took(self) -> str:
        return f"{self.took_ms:.1f} ms" if self.took_ms < 1000 else span(self.took_ms / 1000)


class RunView:
    """Reads each part when a template asks for it, at most once."""

    def __init__(self, run: FlowRun) -> None:
        self.run = run

    @property
    def is_over(self) -> bool:
        return self.run.state_type in TERMINAL

    @property
    def has_failed(self) -> bool:
        return self.run.state_type in {StateType.FAILED, StateType.CRASHED}

    @property
    def can_cancel(self) -> bool:
        return not self.is_over and self.run.state_type != StateType.CANCELLING

    @property
    def log_days_over(self) -> int:
        """For how many days log lines are kept, if this run's may be gone; else 0."""
        days: int = settings.PORTAL_LOG_DAYS
        return days if days and self.run.created < now() - timedelta(days=days) else 0

    @property
    def created_by(self) -> str:
        made = self.run.created_by or {}
        return str(made.get("display_value") or made.get("type") or "")

    @property
    def flow_url(self) -> str:
        return admin_url({"kind": "flow", "id": self.run.flow_id})

    @property
    def deployment_url(self) -> str:
        return admin_url({"kind": "deployment", "id": self.run.deployment_id})

    @property
    def agent_url(self) -> str:
        return admin_url({"kind": "agent", "id": self.run.agent_id})

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The given parameters: names, and values as JSON."""
        return [(name, as_json(value)) for name, value in self.run.parameters.items()]

    @property
    def defaults(self) -> list[tuple[str, str]]:
        """The parameters that were not given, with the defaults that the flow's schema names."""
        schema = self.run.deployment.parameter_openapi_schema if self.run.deployment else {}
        declared = schema.get("properties", {}).items()
        return [
            (name, as_json(each["default"]))
            for name, each in declared
            if name not in self.run.parameters and isinstance(each, dict) and "default" in each
        ]

    @cached_property
    def strip(self) -> str:
        """The deployment's last runs as bars; empty before the first one."""
        id = self.run.deployment_id
        recent = recent_runs([id])[id] if id else []
        return bars(recent) if recent else ""

    @property
    def relation(self) -> str:
        return "part of" if self.run.root_run_id else "subflows"

    @cached_property
    def relatives(self) -> list[dict[str, Any]]:
        """The run that this one is a part of, or the runs that are parts of it."""
        run = self.run
        others = FlowRun.objects.filter(Q(id=run.root_run_id) | Q(root_run=run)).order_by("created")
        rows = others.values("id", "name", "state_name")[:MOST_RELATIVES]
        return [{**row, "url": admin_url({"kind": "flow_run", "id": row["id"]})} for row in rows]

    @cached_property
    def waiting(self) -> list[dict[str, Any]]:
        """What it waits for, with addresses for what can be looked at."""
        return [
            {
                **reason,
                "url": self._page_of(reason["link"]) if reason["link"] else "",
                "holders": [{**holder, "url": admin_url(holder)} for holder in reason["holders"]],
            }
            for reason in waiting_on(self.run)
        ]

    def _page_of(self, link: Any) -> str:
        """The admin page of what it waits for. A queue is steered on the page of its pool."""
        queue = self.run.work_queue
        if link["kind"] == "work_queue" and queue is not None:
            return admin_url({"kind": "work_pool", "id": queue.work_pool_id})
        return admin_url(link)

    @cached_property
    def states(self) -> list[FlowRunState]:
        """The newest states, oldest first."""
        newest = FlowRunState.objects.filter(flow_run=self.run).order_by("-timestamp", "-id")[:MOST_STATES]
        return list(reversed(newest))

    @cached_property
    def trace(self) -> str:
        """The last lines of the newest traceback in the log."""
        line = of_run(self.run).filter(level__gte=ERROR, message__contains="Traceback").reverse().first()
        return tail_of(line.message) if line else ""

    @cached_property
    def steps(self) -> list[Step]:
        """Where the start of this attempt spent its time: due, claimed, forked, loaded, running."""
        run = self.run
        due = max(run.expected_start_time, run.created)
        reached = [
            ("claimed", run.claimed_time),
            ("forked", run.forked_time),
            ("loaded", run.loaded_time),
            ("running", self._running_time()),
        ]
        times = [(label, time) for label, time in reached if time and time >= due]
        if not times or not run.claimed_time:
            return []
        total = max((times[-1][1] - due).total_seconds(), 1e-6)
        steps, before = [], due
        for label, time in times:
            took = max(0.0, (time - before).total_seconds())
            x = (before - due).total_seconds() / total * WATERFALL_WIDTH
            steps.append(Step(label, took * 1000, x, max(took / total * WATERFALL_WIDTH, 0.5)))
            before = max(time, before)
        return steps

    @property
    def start_seconds(self) -> float:
        """From due to running."""
        return sum(step.took_ms for step in self.steps) / 1000

    def _running_time(self) -> datetime | None:
        running = (
            state.timestamp
            for state in self.states
            if state.type == StateType.RUNNING and state.attempt == self.run.attempt
        )
        return next(running, None)

    @cached_property
    def artifacts(self) -> list[Exhibit]:
        return exhibits_of(self.run)

    @property
    def can_go_next(self) -> bool:
        """Whether it waits in a queue, and is not the first there by somebody's wish already."""
        waits = self.run.state_type == "SCHEDULED" and self.run.lease_expires is None
        return waits and self.run.work_queue_id is not None and self.run.priority != NEXT

    @property
    def can_suspend(self) -> bool:
        """It runs, and an agent could take it up again."""
        run = self.run
        return run.state_type == StateType.RUNNING and bool(run.deployment_id) and not run.root_run_id

    @property
    def can_retry(self) -> bool:
        """It has ended, and an agent could take it up again."""
        return self.is_over and bool(self.run.deployment_id) and not self.run.root_run_id

    @cached_property
    def retry_points(self) -> list[tuple[UUID, str]]:
        """The tasks that its last attempt called, in this order: the id of the first call, and the name."""
        tasks = TaskRun.objects.filter(flow_run=self.run)
        newest = tasks.order_by("-id").values("attempt")[:1]
        calls = tasks.filter(attempt=newest).order_by("id").values_list("task_key", "id")[:CALLS_READ]
        first: dict[str, UUID] = {}
        for task_key, id in calls:
            first.setdefault(task_key, id)
        return [(id, plain_name(task_key)) for task_key, id in first.items()][:MOST_RETRY_POINTS]

    @cached_property
    def pause(self) -> Pause | None:
        return pause_of_run(self.run)

    @property
    def pause_text(self) -> SafeString:
        """What the flow says to those who are to answer it."""
        return as_html(self.pause.description if self.pause else "")


def tail_of(traceback: str) -> str:
    """Its last lines, without those that only underline and without the engine's own frames."""
    lines = [line for line in traceback.strip().splitlines() if line.strip(" ^~")]
    kept, of_engine = [], False
    for line in lines:
        if line.lstrip(" |").startswith('File "'):
            of_engine = ENGINE in line
        elif not line.startswith("    "):
            of_engine = False
        if not of_engine:
            kept.append(line)
    return "\n".join(kept[-TRACE_LINES:])


def as_json(value: Any) -> str:
    return json_text(value, default=str)


def admin_url(link: Any) -> str:
    """The admin page of an object `{kind, id}`; empty for a kind that has none."""
    try:
        return reverse(f"admin:{KINDS[link['kind']]}_change", args=[link["id"]])
    except NoReverseMatch:
        return ""
