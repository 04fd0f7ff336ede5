"""Versions of deployments: noted whenever deploying changes something, and brought back by a rollback."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Concat

from flows.models import Bundle, Deployment, DeploymentVersion
from flows.sdk.bundles import PREFIX

# What makes a version: code and how it is run. Schedules and the paused switch are steered by people.
KEPT = (
    "entrypoint", "path", "pull_steps", "parameters", "parameter_openapi_schema", "work_queue_id", "tags",
    "description", "version", "crash_retries", "crash_retry_delay_seconds", "job_variables",
    "enforce_parameter_schema", "concurrency_limit", "collision_strategy",
)  # fmt: skip


class NoSuchVersionError(ValueError):
    """The deployment never had this version. The text names those that it had."""


def note_version(deployment: Deployment) -> None:
    """Give the deployment the next version number if it differs from its last version.

    Within the transaction that changed the deployment, whose row is locked by that.
    """
    values = {name: _as_json(getattr(deployment, name)) for name in KEPT}
    last = deployment.versions.order_by("-number").first()
    current = deployment.versions.filter(number=deployment.version_number).first()
    if current is not None and current.values == values:
        return
    deployment.version_number = last.number + 1 if last else 1
    deployment.save(update_fields=["version_number"])
    DeploymentVersion.objects.create(deployment=deployment, number=deployment.version_number, values=values)


def remove_unused_bundles(before: datetime) -> int:
    """Delete bundles from before that time to which no deployment and none of its versions refers."""
    path = Concat(Value(PREFIX), OuterRef("sha256"))
    deployed = Deployment.objects.filter(workspace=OuterRef("workspace"), path=path)
    noted = DeploymentVersion.objects.annotate(code=KeyTextTransform("path", "values")).filter(
        deployment__workspace=OuterRef("workspace"), code=path
    )
    old = Bundle.objects.filter(created__lt=before).exclude(Exists(deployed)).exclude(Exists(noted))
    return old.delete()[0]


def _as_json(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


@transaction.atomic
def roll_back(deployment_id: UUID, number: int) -> Deployment:
    """Make the deployment what it was in version `number`; runs that are claimed from now on are of it.

    Raises NoSuchVersionError.
    """
    deployment: Deployment = Deployment.objects.select_for_update().get(id=deployment_id)
    wanted = deployment.versions.filter(number=number).first()
    if wanted is None:
        numbers = deployment.versions.order_by("-number").values_list("number", flat=True)[:10]
        there = ", ".join(map(str, numbers)) or "none"
        raise NoSuchVersionError(f"There is no version {number}; the newest are: {there}.")
    for name, value in wanted.values.items():
        setattr(deployment, name, value)
    deployment.version_number = number
    deployment.save()
    return deployment
