"""Events of what people change: deployments, work pools and work queues."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_save
from django.utils.timezone import now

from agents.models import WorkPool, WorkQueue
from flows.models import Deployment
from flows.sdk.ids import uuid7
from runs.acting import acting
from runs.events import store_events
from runs.session import DjangoSession

KINDS: Mapping[type[Model], str] = {
    Deployment: "deployment",
    WorkPool: "work-pool",
    WorkQueue: "work-queue",
}
UNSAID = frozenset({"created", "updated"})


def watch() -> None:
    """Tell of every change from now on. `QuerySet.update` is not seen: use `save`."""
    for model, kind in KINDS.items():
        uid = f"portal.changes.{kind}"
        pre_save.connect(_remember, sender=model, dispatch_uid=uid)
        post_save.connect(_tell_of_save, sender=model, dispatch_uid=uid)
        post_delete.connect(_tell_of_delete, sender=model, dispatch_uid=uid)


def _values(instance: Model) -> dict[str, Any]:
    names = [field.attname for field in instance._meta.concrete_fields if field.name not in UNSAID]
    return {name: getattr(instance, name) for name in names}


def _remember(sender: type[Model], instance: Any, raw: bool, **rest: Any) -> None:
    """What the row says until now, for the comparison after."""
    if not raw and not instance._state.adding:
        old = sender._default_manager.filter(pk=instance.pk).first()
        instance.values_before = _values(old) if old else {}


def _tell_of_save(sender: type[Model], instance: Any, created: bool, raw: bool, **rest: Any) -> None:
    if raw:
        return
    if created:
        _tell(instance, "created", {})
        return
    before, after = getattr(instance, "values_before", {}), _values(instance)
    changed = {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
    if "paused" in changed:
        _tell(instance, "paused" if instance.paused else "resumed", {})
        del changed["paused"]
    if changed:
        _tell(instance, "updated", {"changed": changed})


def _tell_of_delete(sender: type[Model], instance: Any, **rest: Any) -> None:
    _tell(instance, "deleted", {})


def _tell(instance: Any, what: str, payload: Mapping[str, Any]) -> None:
    kind = KINDS[type(instance)]
    event = {
        "id": uuid7(),
        "occurred": now(),
        "event": f"prefect.{kind}.{what}",
        "resource": {
            "prefect.resource.id": f"prefect.{kind}.{instance.pk}",
            "prefect.resource.name": str(instance),
        },
        "related": [],
        "payload": {**payload, "actor": acting()},
        "follows": None,
    }
    store_events(DjangoSession(), _workspace_of(instance), [event])


def _workspace_of(instance: Any) -> UUID:
    pool = instance.work_pool if isinstance(instance, WorkQueue) else instance
    return UUID(str(pool.workspace_id))
