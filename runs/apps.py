from django.apps import AppConfig


class RunsConfig(AppConfig):
    """WHAT happened: runs, their states, logs and artifacts."""

    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs import checks, partitions  # noqa: F401  registers checks and post_migrate
