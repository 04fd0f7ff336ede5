"""Every route of the control room."""

from django.contrib import admin
from django.urls import include, path

from portal.ops import health

urlpatterns = [
    path("api/health", health.health),
    path("api/ready", health.ready),
    path("api/", include("portal.api.urls")),
    path("admin/", admin.site.urls),
]
