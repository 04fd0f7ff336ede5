from django.apps import AppConfig


class FlowsConfig(AppConfig):
    """WHAT runs: workspaces, flows, deployments, schedules."""

    name = "flows"
    default_auto_field = "django.db.models.BigAutoField"
