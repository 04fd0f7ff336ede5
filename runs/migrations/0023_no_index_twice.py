"""Drop indexes that are only the beginning of another one: each write of a run had to keep both.

Django makes one for each foreign key, whatever other indexes begin with its column. They are dropped by
name, since Django would also make the foreign keys anew, and read whole tables for that. Each is dropped in
a transaction of its own, so that no table is locked for longer than that takes.
"""

import django.db.models.deletion
from django.db import migrations, models

INDEXES = {
    "runs_artifact_workspace_id_baf3b2bd": "runs_artifact (workspace_id)",
    "runs_backfill_workspace_id_e7a8ba24": "runs_backfill (workspace_id)",
    "runs_concurrencylimit_workspace_id_8dcf1ffb": "runs_concurrencylimit (workspace_id)",
    "runs_flowrun_deployment_id_6daefad2": "runs_flowrun (deployment_id)",
    "runs_flowrun_flow_id_4219a7bf": "runs_flowrun (flow_id)",
    "runs_flowrun_schedule_id_bdc40538": "runs_flowrun (schedule_id)",
    "runs_flowrun_workspace_id_d1fef1f4": "runs_flowrun (workspace_id)",
    "runs_flowrunstate_flow_run_id_d5ffccc2": "runs_flowrunstate (flow_run_id)",
    "runs_resultlock_workspace_id_84b0ae1a": "runs_resultlock (workspace_id)",
    "runs_retentionpolicy_workspace_id_c62f87f9": "runs_retentionpolicy (workspace_id)",
    "runs_runinput_flow_run_id_74edd394": "runs_runinput (flow_run_id)",
    "runs_slot_limit_id_12444cec": "runs_slot (limit_id)",
    "runs_taskrun_flow_run_id_bee7a5a7": "runs_taskrun (flow_run_id)",
    "runs_waiter_limit_id_da56ca16": "runs_waiter (limit_id)",
}


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("flows", "0011_no_index_twice"),
        ("runs", "0001_squashed_0022_planned_backfills_and_tables_in_order"),
    ]

    operations = [
        migrations.RunSQL(
            [f"DROP INDEX IF EXISTS {name}" for name in INDEXES],
            [f"CREATE INDEX {name} ON {columns}" for name, columns in INDEXES.items()],
            state_operations=[
                migrations.AlterField(
                    model_name="artifact",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="artifacts",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="backfill",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="backfills",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="concurrencylimit",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="concurrency_limits",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="deployment",
                    field=models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="flow_runs",
                        to="flows.deployment",
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="flow",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="flow_runs",
                        to="flows.flow",
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="schedule",
                    field=models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="flow_runs",
                        to="flows.schedule",
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrun",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="flow_runs",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="flowrunstate",
                    name="flow_run",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="states",
                        to="runs.flowrun",
                    ),
                ),
                migrations.AlterField(
                    model_name="resultlock",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="result_locks",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="retentionpolicy",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="retention_policies",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="runinput",
                    name="flow_run",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="inputs",
                        to="runs.flowrun",
                    ),
                ),
                migrations.AlterField(
                    model_name="slot",
                    name="limit",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="slots",
                        to="runs.concurrencylimit",
                    ),
                ),
                migrations.AlterField(
                    model_name="taskrun",
                    name="flow_run",
                    field=models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="task_runs",
                        to="runs.flowrun",
                    ),
                ),
                migrations.AlterField(
                    model_name="waiter",
                    name="limit",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="waiters",
                        to="runs.concurrencylimit",
                    ),
                ),
            ],
        ),
    ]
