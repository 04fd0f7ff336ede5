"""Work queues."""

import django_filters

from agents.models import WorkQueue
from portal.api.filters import TextInFilter
from portal.api.resource import Resource, Rows


class WorkQueueFilter(django_filters.FilterSet):
    """By name and by the name of the pool."""

    name = TextInFilter()
    work_pool_name = TextInFilter(field_name="work_pool__name")


class WorkQueues(Resource):
    """`/api/work_queues`"""

    model = WorkQueue
    columns = (
        "id", "created", "updated", "name", "priority", "paused", "work_pool_id", "work_pool__name",
    )  # fmt: skip
    filterset_class = WorkQueueFilter

    def shape(self, rows: Rows) -> Rows:
        return [
            {**row, "is_paused": row.pop("paused"), "work_pool_name": row.pop("work_pool__name")}
            for row in rows
        ]
