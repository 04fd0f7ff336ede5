"""How long runs are kept, and what ended, by the hour."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import flows.sdk.ids


class Migration(migrations.Migration):
    dependencies = [
        ("flows", "0005_versions_and_bundles"),
        ("runs", "0010_index_of_all_runs"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetentionPolicy",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "state_type",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("CANCELLED", "Cancelled"),
                            ("COMPLETED", "Completed"),
                            ("FAILED", "Failed"),
                            ("CRASHED", "Crashed"),
                        ],
                        default="",
                        help_text="Empty: however they ended.",
                        max_length=20,
                    ),
                ),
                (
                    "keep_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Empty: for ever.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("updated", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name_plural": "retention policies",
            },
        ),
        migrations.CreateModel(
            name="RunStats",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField(help_text="Its beginning.")),
                (
                    "state_type",
                    models.CharField(
                        choices=[
                            ("CANCELLED", "Cancelled"),
                            ("COMPLETED", "Completed"),
                            ("FAILED", "Failed"),
                            ("CRASHED", "Crashed"),
                        ],
                        max_length=20,
                    ),
                ),
                ("runs", models.PositiveIntegerField()),
                ("run_seconds", models.FloatField(help_text="Spent running, all runs together.")),
                ("longest_run_seconds", models.FloatField()),
                ("late_seconds", models.FloatField(help_text="From due to running, all runs together.")),
            ],
            options={
                "verbose_name_plural": "run stats",
            },
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("end_time__isnull", False)), fields=["end_time"], name="flowrun_ended"
            ),
        ),
        migrations.AddField(
            model_name="retentionpolicy",
            name="deployment",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: all runs of the workspace.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="retention_policies",
                to="flows.deployment",
            ),
        ),
        migrations.AddField(
            model_name="retentionpolicy",
            name="workspace",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="retention_policies",
                to="flows.workspace",
            ),
        ),
        migrations.AddField(
            model_name="runstats",
            name="deployment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="run_stats",
                to="flows.deployment",
            ),
        ),
        migrations.AddField(
            model_name="runstats",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="run_stats",
                to="flows.workspace",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionpolicy",
            constraint=models.UniqueConstraint(
                fields=("workspace", "deployment", "state_type"),
                name="one_policy_per_scope",
                nulls_distinct=False,
                violation_error_message="There is a policy for these runs already: change that one.",
            ),
        ),
        migrations.AddConstraint(
            model_name="runstats",
            constraint=models.UniqueConstraint(
                fields=("workspace", "hour", "deployment", "state_type"),
                name="run_stats_once",
                nulls_distinct=False,
            ),
        ),
    ]
