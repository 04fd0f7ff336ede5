"""Limits of pools and queues, kinds of pools, and the workers that poll."""

import django.db.models.deletion
from django.db import migrations, models

import flows.sdk.ids


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0006_agent_life"),
    ]

    operations = [
        migrations.AddField(
            model_name="workpool",
            name="base_job_template",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="workpool",
            name="concurrency_limit",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Runs of all its queues at once. Empty: no limit. 0: none starts.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="workpool",
            name="worker_type",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Of the Prefect workers: process, docker, ...",
                max_length=100,
            ),
        ),
        migrations.AddField(
            model_name="workqueue",
            name="concurrency_limit",
            field=models.PositiveIntegerField(
                blank=True, help_text="Runs at once. Empty: no limit. 0: none starts.", null=True
            ),
        ),
        migrations.AddField(
            model_name="workqueue",
            name="description",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="workqueue",
            name="last_polled",
            field=models.DateTimeField(blank=True, help_text="By a Prefect worker.", null=True),
        ),
        migrations.AlterField(
            model_name="workpool",
            name="type",
            field=models.CharField(
                choices=[
                    ("agents", "Portal agents"),
                    ("process", "Portal agents, isolated processes"),
                    ("prefect", "Prefect workers, which poll"),
                ],
                default="agents",
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("heartbeat_interval_seconds", models.FloatField(default=30)),
                ("last_heartbeat_time", models.DateTimeField()),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("updated", models.DateTimeField(auto_now=True)),
                (
                    "work_pool",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="workers",
                        to="agents.workpool",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("work_pool", "name"), name="worker_name_in_pool")
                ],
            },
        ),
    ]
