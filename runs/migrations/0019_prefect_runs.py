"""What Prefect's clients tell of the runs that they execute."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_isolation"),
        ("flows", "0009_deployment_limits"),
        ("runs", "0018_backfills"),
    ]

    operations = [
        migrations.AddField(
            model_name="flowrun",
            name="context",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="flowrun",
            name="empirical_policy",
            field=models.JSONField(
                blank=True,
                help_text="The flow's retries and their delay, as Prefect's clients say them.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="flowrun",
            name="flow_version",
            field=models.CharField(blank=True, db_default="", default="", max_length=100),
        ),
        migrations.AddField(
            model_name="flowrun",
            name="labels",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("state_type", "CANCELLING")),
                fields=["state_timestamp"],
                name="flowrun_cancelling",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(
                    ("deployment__isnull", False),
                    ("state_type__in", ["PENDING", "RUNNING", "CANCELLING"]),
                    ("work_queue__isnull", True),
                ),
                fields=["deployment"],
                name="flowrun_served",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("deployment__isnull", True), ("idempotency_key__isnull", False)),
                fields=["flow", "idempotency_key"],
                name="flowrun_by_key",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                models.F("workspace"),
                models.OrderBy(models.F("expected_start_time"), descending=True),
                name="flowrun_by_due",
            ),
        ),
    ]
