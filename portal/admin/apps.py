from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    """Django's admin with our site in place of the default one."""

    default_site = "portal.admin.site.PortalAdminSite"
