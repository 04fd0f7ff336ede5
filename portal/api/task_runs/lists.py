"""Lists and counts of task runs, as Prefect's clients ask for them."""

from collections.abc import Mapping
from typing import ClassVar

from django.db.models import F

from portal.api.filtering.columns import DEPLOYMENT, FLOW, FLOW_RUN, TASK_RUN
from portal.api.filtering.language import Fields, through, times
from portal.api.filtering.lists import PrefectLists
from portal.api.filtering.pages import Orders


class TaskRunLists(PrefectLists):
    """`POST /api/task_runs/filter` and `/count`"""

    joined: ClassVar[Mapping[str, Fields]] = {
        "task_runs": {**TASK_RUN, "expected_start_time": times("created")},
        "flow_runs": through("flow_run__", FLOW_RUN),
        "flows": through("flow_run__flow__", FLOW),
        "deployments": through("flow_run__deployment__", DEPLOYMENT),
    }
    sorts: ClassVar[Orders] = {
        "ID_DESC": ("-id",),
        "EXPECTED_START_TIME_ASC": ("id",),  # ids rise with the time of creation, and have an index
        "EXPECTED_START_TIME_DESC": ("-id",),
        "NEXT_SCHEDULED_START_TIME_ASC": ("id",),
        "NAME_ASC": ("name", "id"),
        "NAME_DESC": ("-name", "-id"),
        "END_TIME_DESC": (F("end_time").desc(nulls_last=True), "-id"),
    }
