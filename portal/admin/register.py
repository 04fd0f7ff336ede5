"""Which resource has which pages."""

from typing import Any

from django.apps import apps
from django.contrib.admin import ModelAdmin, site
from django.contrib.auth.models import Group, User
from django.db.models import Model

from agents.models import Agent, ServiceStatus, WorkPool
from flows.models import Block, Calendar, Deployment, Flow, Schedule, Variable, Workspace
from portal.access.models import ApiToken
from portal.admin.agents import AgentAdmin, ServiceStatusAdmin
from portal.admin.api_tokens import ApiTokenAdmin
from portal.admin.backfills import BackfillAdmin
from portal.admin.background_tasks import BackgroundTaskAdmin
from portal.admin.blocks import BlockAdmin
from portal.admin.calendars import CalendarAdmin
from portal.admin.deployments import DeploymentAdmin
from portal.admin.flow_runs import FlowRunAdmin
from portal.admin.flows import FlowAdmin
from portal.admin.limits import ConcurrencyLimitAdmin
from portal.admin.retention import RetentionPolicyAdmin
from portal.admin.schedules import ScheduleAdmin
from portal.admin.users import UserAdmin
from portal.admin.variables import VariableAdmin
from portal.admin.work_pools import WorkPoolAdmin
from portal.admin.workspaces import WorkspaceAdmin
from runs.models import Backfill, BackgroundTask, ConcurrencyLimit, FlowRun, RetentionPolicy

ADMINS: "tuple[tuple[type[Model], type[ModelAdmin[Any]]], ...]" = (
    (FlowRun, FlowRunAdmin),
    (Deployment, DeploymentAdmin),
    (Schedule, ScheduleAdmin),
    (Calendar, CalendarAdmin),
    (Flow, FlowAdmin),
    (Backfill, BackfillAdmin),
    (BackgroundTask, BackgroundTaskAdmin),
    (ConcurrencyLimit, ConcurrencyLimitAdmin),
    (WorkPool, WorkPoolAdmin),
    (Agent, AgentAdmin),
    (ServiceStatus, ServiceStatusAdmin),
    (Variable, VariableAdmin),
    (Block, BlockAdmin),
    (RetentionPolicy, RetentionPolicyAdmin),
    (Workspace, WorkspaceAdmin),
    (ApiToken, ApiTokenAdmin),
)


def register_all() -> None:
    """Register ours; take out what others registered and we do not use.

    Groups have no meaning where roles decide, and django-rq's page knows only doorbells.
    """
    unused: list[type[Model]] = [Group, *apps.get_app_config("django_rq").get_models()]
    for model in unused:
        if site.is_registered(model):
            site.unregister(model)
    if site.is_registered(User):  # a project with users of its own registers them itself
        site.unregister(User)
        site.register(User, UserAdmin)
    for model, admin in ADMINS:
        site.register(model, admin)
