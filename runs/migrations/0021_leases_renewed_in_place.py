"""`leased` beside `lease_expires`: a column that renewals do not change, for the indexes to name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_isolation"),
        ("flows", "0009_deployment_limits"),
        ("runs", "0020_client_reports"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="flowrun",
            name="flowrun_leased",
        ),
        migrations.RemoveIndex(
            model_name="flowrun",
            name="flowrun_in_order",
        ),
        migrations.RemoveIndex(
            model_name="flowrun",
            name="flowrun_under_way",
        ),
        migrations.AddField(
            model_name="flowrun",
            name="leased",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.ExpressionWrapper(
                    models.Q(("lease_expires__isnull", False)), models.BooleanField()
                ),
                output_field=models.BooleanField(),
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                models.F("work_queue"),
                models.Func(
                    models.F("expected_start_time"),
                    models.F("priority"),
                    arg_joiner=" AT TIME ZONE 'UTC' - interval '5 minutes' * ",
                    template="(%(expressions)s)",
                ),
                models.F("expected_start_time"),
                condition=models.Q(("leased", False), ("state_type", "SCHEDULED")),
                name="flowrun_in_order",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(
                    ("work_queue__isnull", False),
                    models.Q(
                        ("leased", True),
                        ("state_type__in", ["PENDING", "RUNNING", "CANCELLING"]),
                        _connector="OR",
                    ),
                ),
                fields=["work_queue", "deployment"],
                name="flowrun_under_way",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(condition=models.Q(("leased", True)), fields=["id"], name="flowrun_leased"),
        ),
    ]
