"""Deployments that Prefect's own processes execute."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0001_initial"),
        ("flows", "0009_deployment_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="labels",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, help_text="JSON, for Prefect clients."
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="last_polled",
            field=models.DateTimeField(blank=True, help_text="By the process that serves it.", null=True),
        ),
        migrations.AddField(
            model_name="deployment",
            name="pull_steps",
            field=models.JSONField(
                blank=True,
                db_default=[],
                default=list,
                help_text="JSON. How Prefect's processes fetch the code.",
            ),
        ),
        migrations.AddField(
            model_name="flow",
            name="labels",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, help_text="JSON, for Prefect clients."
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="max_scheduled_runs",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Runs made ahead at most. Empty: as many as the scheduler likes.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="entrypoint",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AlterField(
            model_name="deployment",
            name="work_queue",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: a process that called flow.serve() fetches its runs.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deployments",
                to="agents.workqueue",
            ),
        ),
    ]
