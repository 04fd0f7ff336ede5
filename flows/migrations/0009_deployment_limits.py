"""How many runs of a deployment at once, and who gives way."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("flows", "0008_calendars_and_rrules"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="collision_strategy",
            field=models.CharField(
                choices=[
                    ("ENQUEUE", "Wait for a free slot"),
                    ("CANCEL_NEW", "Cancel the new run"),
                    ("CANCEL_RUNNING", "Cancel the oldest running one"),
                    ("KEEP_LATEST", "Wait, but only the newest"),
                ],
                default="ENQUEUE",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="concurrency_limit",
            field=models.PositiveIntegerField(
                blank=True, help_text="Runs at once. Empty: no limit. 0: none starts.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=models.Q(("paused", True), ("concurrency_limit", 0), _connector="OR"),
                fields=["work_queue"],
                name="deployment_shut",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=models.Q(
                    ("concurrency_limit__isnull", False),
                    models.Q(("collision_strategy", "ENQUEUE"), _negated=True),
                ),
                fields=["work_queue"],
                name="deployment_collides",
            ),
        ),
    ]
