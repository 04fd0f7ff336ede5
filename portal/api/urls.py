"""Routes of the REST API. Lists and creates end in "/", all else does not; both forms answer."""

from typing import Any

from django.urls import URLPattern, URLResolver, re_path
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from portal.api.artifacts import Artifacts
from portal.api.backfills import Backfills
from portal.api.background_tasks import BackgroundTasks
from portal.api.blocks import Blocks
from portal.api.bundles import Bundles
from portal.api.calendars import Calendars
from portal.api.concurrency_limits.global_limits import GlobalLimits
from portal.api.concurrency_limits.routes import ConcurrencyLimits
from portal.api.deployments.routes import Deployments
from portal.api.events.routes import Events
from portal.api.flow_runs.routes import FlowRuns
from portal.api.flow_runs.states import FlowRunStates
from portal.api.flows import Flows
from portal.api.logs.routes import Logs
from portal.api.results import Results
from portal.api.retention_policies import RetentionPolicies
from portal.api.run_stats import RunStatistics
from portal.api.server_info import Admin, Automations, Collections, CsrfToken, Hello
from portal.api.task_runs.routes import TaskRuns
from portal.api.task_runs.states import TaskRunStates
from portal.api.variables import Variables
from portal.api.work_pools.queues import WorkQueues
from portal.api.work_pools.routes import WorkPools


class NoSuchPath(APIView):
    """Answers every other path: 401 to strangers, who learn nothing, and a 404 in JSON to the rest."""

    permission_classes = (IsAuthenticated,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(f"There is no {request.path} in this API.")


router = SimpleRouter()
router.trailing_slash = "/?"
router.register("admin", Admin, basename="api-admin")
router.register("artifacts", Artifacts, basename="api-artifact")
router.register("automations", Automations, basename="api-automation")
router.register("background_tasks", BackgroundTasks, basename="api-background-task")
router.register("backfills", Backfills, basename="api-backfill")
router.register("blocks", Blocks, basename="api-block")
router.register("bundles", Bundles, basename="api-bundle")
router.register("calendars", Calendars, basename="api-calendar")
router.register("collections", Collections, basename="api-collection")
router.register("concurrency_limits", ConcurrencyLimits, basename="api-concurrency-limit")
router.register("csrf-token", CsrfToken, basename="api-csrf-token")
router.register("deployments", Deployments, basename="api-deployment")
router.register("events", Events, basename="api-event")
router.register("flow_run_states", FlowRunStates, basename="api-flow-run-state")
router.register("flow_runs", FlowRuns, basename="api-flow-run")
router.register("flows", Flows, basename="api-flow")
router.register("hello", Hello, basename="api-hello")
router.register("logs", Logs, basename="api-log")
router.register("retention_policies", RetentionPolicies, basename="api-retention-policy")
router.register("run_stats", RunStatistics, basename="api-run-stats")
router.register("results", Results, basename="api-result")
router.register("task_run_states", TaskRunStates, basename="api-task-run-state")
router.register("task_runs", TaskRuns, basename="api-task-run")
router.register("variables", Variables, basename="api-variable")
router.register("v2/concurrency_limits", GlobalLimits, basename="api-global-limit")
router.register("work_pools", WorkPools, basename="api-work-pool")
router.register("work_queues", WorkQueues, basename="api-work-queue")

urlpatterns: list[URLPattern | URLResolver] = [*router.urls, re_path("", NoSuchPath.as_view())]
