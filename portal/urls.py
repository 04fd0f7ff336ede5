"""Every route of the control room."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from portal.ops import health
from portal.pages import prefect_links

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("api/health", health.health),
    path("api/ready", health.ready),
    path("api/", include("portal.api.urls")),
    path("admin/", admin.site.urls),
    *prefect_links.urlpatterns,
]
