"""Retention: which runs and log lines have been kept long enough, and their removal.

Runs go by the policies of their workspace, a few hundred at a time. Log lines and events go by
whole days: their partitions are dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from flows.sdk.states import TERMINAL
from runs.models import FlowRun, RetentionPolicy

BATCH = 200
MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What the policies come to: runs that ended as `state_type` go `keep` after their end.

    Those of `deployment_id`; None: all of the workspace, but those of the deployments in `but`, which
    have rules of their own.
    """

    workspace_id: UUID
    state_type: str
    keep: timedelta
    deployment_id: UUID | None = None
    but: frozenset[UUID] = frozenset()


def rules_of(policies: Iterable[RetentionPolicy]) -> list[Rule]:
    """The rules that these policies come to. What is kept for ever has none."""
    ordered = sorted(policies, key=lambda policy: policy.workspace_id)
    return [
        rule
        for workspace_id, mine in groupby(ordered, key=lambda policy: policy.workspace_id)
        for rule in _rules_of_workspace(workspace_id, list(mine))
    ]


def _rules_of_workspace(workspace_id: UUID, policies: list[RetentionPolicy]) -> list[Rule]:
    days = {(policy.deployment_id, policy.state_type): policy.keep_days for policy in policies}
    scopes = {policy.deployment_id for policy in policies} | {None}
    rules = []
    for state in sorted(TERMINAL, key=str):
        speaking = {
            scope: days.get((scope, state), days.get((scope, "")))
            for scope in scopes
            if (scope, state) in days or (scope, "") in days
        }
        own = frozenset(scope for scope in speaking if scope is not None)
        rules += [
            Rule(
                workspace_id, state.value, timedelta(days=keep), scope, own if scope is None else frozenset()
            )
            for scope, keep in speaking.items()
            if keep is not None
        ]
    return rules


def expired_runs(rule: Rule, now: datetime) -> QuerySet[FlowRun]:
    """The runs that this rule no longer keeps, oldest first. Subflows go with their root runs."""
    cutoff = now - rule.keep
    runs = FlowRun.objects.filter(
        workspace_id=rule.workspace_id,
        state_type=rule.state_type,
        root_run=None,
        lease_expires=None,
        created__lt=cutoff,  # the indexes are by creation
        end_time__lt=cutoff,
    )
    if rule.deployment_id is not None:
        runs = runs.filter(deployment_id=rule.deployment_id)
    elif rule.but:
        runs = runs.filter(Q(deployment=None) | ~Q(deployment__in=rule.but))
    return runs.order_by("created")


def remove_expired_runs(rule: Rule, now: datetime) -> int:
    """Delete up to 200 of them, with all that belongs to them; return how many.

    The rows are locked first: a run that is just being run again is passed over.
    """
    with transaction.atomic():
        chosen = expired_runs(rule, now).select_for_update(skip_locked=True, of=("self",))
        ids = list(chosen.values_list("id", flat=True)[:BATCH])
        if ids:
            FlowRun.objects.filter(id__in=ids).delete()
    return len(ids)


def preview(policies: Iterable[RetentionPolicy], now: datetime) -> list[dict[str, Any]]:
    """What these policies would remove now, rule by rule; rules that remove nothing are there, too."""
    return [
        {
            "workspace_id": rule.workspace_id,
            "deployment_id": rule.deployment_id,
            "state_type": rule.state_type,
            "keep_days": rule.keep.days,
            "runs": expired_runs(rule, now)[:MOST_COUNTED].count(),
            "oldest": expired_runs(rule, now).values_list("end_time", flat=True).first(),
        }
        for rule in rules_of(policies)
    ]
