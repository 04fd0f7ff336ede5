"""The addresses that Prefect's clients print lead to the pages of the same things here."""

from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path

from agents.models import WorkPool, WorkQueue
from portal.access.actors import actor_of
from portal.api.base.fields import storable


def _to(page: str, route: str) -> URLPattern:
    """A link whose last part is the id of an object, to its admin page."""

    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        return redirect(f"admin:{page}_change", pk)

    return path(f"{route}/<uuid:pk>", admin.site.admin_view(view))


def _work_pool(request: HttpRequest, name: str) -> HttpResponse:
    pools = WorkPool.objects.for_actor(actor_of(request)).order_by("created")
    pool = pools.filter(name=storable(name)).first()
    return redirect("admin:agents_workpool_change", pool.pk) if pool else redirect("admin:index")


def _work_queue(request: HttpRequest, pk: UUID) -> HttpResponse:
    queue = get_object_or_404(WorkQueue.objects.for_actor(actor_of(request)), pk=pk)
    return redirect("admin:agents_workpool_change", queue.work_pool_id)


urlpatterns = [
    _to("runs_flowrun", "runs/flow-run"),
    _to("flows_deployment", "deployments/deployment"),
    _to("flows_flow", "flows/flow"),
    path("work-pools/work-pool/<str:name>", admin.site.admin_view(_work_pool)),
    path("work-queues/work-queue/<uuid:pk>", admin.site.admin_view(_work_queue)),
]
