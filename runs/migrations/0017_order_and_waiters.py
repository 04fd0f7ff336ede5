"""The order of a queue as an index, the runs that are under way, and lines for slots."""

import django.db.models.deletion
from django.db import migrations, models

import flows.sdk.ids


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0007_pools_limits_and_workers"),
        ("flows", "0009_deployment_limits"),
        ("runs", "0016_due_soon"),
    ]

    operations = [
        migrations.CreateModel(
            name="Waiter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("lease", models.UUIDField()),
                ("wanted", models.PositiveIntegerField(help_text="How many slots.")),
                ("holder", models.CharField(blank=True, default="", help_text="For people.", max_length=400)),
                ("since", models.DateTimeField()),
                ("expires", models.DateTimeField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name="flowrun",
            name="flowrun_claimable",
        ),
        migrations.AlterField(
            model_name="flowrun",
            name="priority",
            field=models.SmallIntegerField(
                default=0, help_text="From -10 to 10; higher goes first within a queue."
            ),
        ),
        migrations.AlterField(
            model_name="flowrun",
            name="work_queue",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="flow_runs",
                to="agents.workqueue",
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
                condition=models.Q(("lease_expires__isnull", True), ("state_type", "SCHEDULED")),
                name="flowrun_in_order",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(
                    ("work_queue__isnull", False),
                    models.Q(
                        ("lease_expires__isnull", False),
                        ("state_type__in", ["PENDING", "RUNNING", "CANCELLING"]),
                        _connector="OR",
                    ),
                ),
                fields=["work_queue", "deployment"],
                name="flowrun_under_way",
            ),
        ),
        migrations.AddField(
            model_name="waiter",
            name="flow_run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="slot_waits",
                to="runs.flowrun",
            ),
        ),
        migrations.AddField(
            model_name="waiter",
            name="limit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="waiters",
                to="runs.concurrencylimit",
            ),
        ),
        migrations.AddConstraint(
            model_name="waiter",
            constraint=models.UniqueConstraint(fields=("limit", "lease"), name="waits_once_per_lease"),
        ),
    ]
