"""Lists and counts of flow runs, as Prefect's clients ask for them."""

from collections.abc import Mapping
from typing import ClassVar

from django.db.models import F

from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN, WORK_POOL, WORK_QUEUE
from portal.api.filtering.language import Fields, through
from portal.api.filtering.lists import PrefectLists, Referring
from portal.api.filtering.pages import Orders
from runs.models import TaskRun


class FlowRunLists(PrefectLists):
    """`POST /api/flow_runs/filter` and `/count`"""

    joined: ClassVar[Mapping[str, Fields]] = {
        "flow_runs": FLOW_RUN,
        "flows": through("flow__", FLOW),
        "deployments": through("deployment__", DEPLOYMENT),
        "work_pools": through("work_queue__work_pool__", WORK_POOL),
        "work_pool_queues": through("work_queue__", WORK_QUEUE),
    }
    referring: ClassVar[Mapping[str, Referring]] = {"task_runs": Referring(TaskRun, "flow_run", TASK_RUN)}
    sorts: ClassVar[Orders] = {
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
