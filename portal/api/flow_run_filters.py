"""Lists and counts of flow runs, as Prefect's clients ask for them."""

from typing import Any

from django.db.models import F, Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from flows.scoping import Actor
from portal.access.actors import actor_of
from portal.api.prefect_fields import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN, WORK_POOL, WORK_QUEUE
from portal.api.prefect_filter import Fields, condition, count_of, exists, page_of, through
from portal.api.resource import Listed
from runs.models import TaskRun

JOINED: dict[str, Fields] = {
    "flow_runs": FLOW_RUN,
    "flows": through("flow__", FLOW),
    "deployments": through("deployment__", DEPLOYMENT),
    "work_pools": through("work_queue__work_pool__", WORK_POOL),
    "work_pool_queues": through("work_queue__", WORK_QUEUE),
}
SORTS = {
    "ID_DESC": ("-created", "-id"),  # ids rise with the time of creation, and there is an index
    "START_TIME_ASC": (F("start_time").asc(nulls_last=True), "id"),
    "START_TIME_DESC": (F("start_time").desc(nulls_last=True), "-id"),
    "EXPECTED_START_TIME_ASC": ("expected_start_time", "id"),
    "EXPECTED_START_TIME_DESC": ("-expected_start_time", "-id"),
    "NAME_ASC": ("name", "id"),
    "NAME_DESC": ("-name", "-id"),
    "NEXT_SCHEDULED_START_TIME_ASC": ("expected_start_time", "id"),
    "END_TIME_DESC": (F("end_time").desc(nulls_last=True), "-id"),
}


def wanted_runs(body: Any, actor: Actor) -> Q:
    """The flow runs that a body with `flow_runs`, `flows`, `deployments`, ... means. Raises InvalidInput."""
    wanted = Q()
    for name, fields in JOINED.items():
        wanted &= condition(body.get(name), fields, name)
    if by_task := condition(body.get("task_runs"), TASK_RUN, "task_runs"):
        wanted &= exists(TaskRun.objects.for_actor(actor).filter(by_task), "flow_run_id")
    return wanted


class FlowRunFilterActions(Listed):
    """`POST /api/flow_runs/filter` and `/count`"""

    @action(detail=False, methods=["post"])
    def filter(self, request: Request) -> Response:
        """The runs that the filters mean, at most 200 of them."""
        page = page_of(request.data, SORTS)
        rows = page.of(self._wanted(request)).values(*self.columns)
        return Response(self.shape(list(rows)))

    @action(detail=False, methods=["post"])
    def count(self, request: Request) -> Response:
        """How many there are; more than 100,000 are not counted."""
        return Response(count_of(self._wanted(request)))

    def _wanted(self, request: Request) -> QuerySet[Any]:
        wanted = wanted_runs(request.data, actor_of(request))
        return self.get_queryset().filter(wanted)
