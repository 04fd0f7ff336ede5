"""Every route of the control room."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("portal.api.urls")),
    path("admin/", admin.site.urls),
]
