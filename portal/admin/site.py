"""Our admin site."""

from django.contrib.admin import AdminSite


class PortalAdminSite(AdminSite):
    """The control room."""

    site_header = site_title = "Portal"
