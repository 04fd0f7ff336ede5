"""What Prefect's clients report: task runs found by their keys, heartbeats, events in the order of arrival."""

from django.db import migrations, models

ARRIVAL = "CREATE INDEX runs_event_arrival ON runs_event (workspace_id, received, id)"


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_isolation"),
        ("flows", "0009_deployment_limits"),
        ("runs", "0019_prefect_runs"),
    ]

    operations = [
        migrations.RunSQL(ARRIVAL, "DROP INDEX runs_event_arrival"),
        migrations.AddField(
            model_name="flowrun",
            name="last_heartbeat",
            field=models.DateTimeField(
                blank=True,
                help_text="When the Prefect client that executes it was last heard.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="taskrun",
            name="client_details",
            field=models.JSONField(
                blank=True, help_text="What its Prefect client wants to be told again.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("last_heartbeat__isnull", False), ("state_type", "RUNNING")),
                fields=["last_heartbeat"],
                name="flowrun_heard",
            ),
        ),
        migrations.AddIndex(
            model_name="taskrun",
            index=models.Index(
                condition=models.Q(("attempt", 0), ("flow_run__isnull", False)),
                fields=["flow_run", "task_key", "dynamic_key"],
                name="taskrun_by_key",
            ),
        ),
    ]
