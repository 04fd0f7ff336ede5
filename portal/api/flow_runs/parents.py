"""The task run that stands for a new flow run in the flow that called it."""

from uuid import UUID

from rest_framework.request import Request

from flows.catalog.parameters import FieldError
from portal.access.actors import actor_of
from portal.api.base.errors import InvalidInput
from portal.api.base.resource import Row
from runs.models import TaskRun


def parent_of(request: Request, body: Row) -> UUID | None:
    """The one that the body names. Raises InvalidInput for a foreign one."""
    parent: UUID | None = body.get("parent_task_run_id")
    if parent and not TaskRun.objects.for_actor(actor_of(request)).filter(id=parent).exists():
        raise InvalidInput([FieldError("parent_task_run_id", "there is no such task run")])
    return parent
