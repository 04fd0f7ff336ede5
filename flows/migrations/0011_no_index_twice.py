"""Drop indexes that are only the beginning of another one, as `runs/0023` does and says why."""

import django.db.models.deletion
from django.db import migrations, models

INDEXES = {
    "flows_block_workspace_id_53e1ac5c": "flows_block (workspace_id)",
    "flows_bundle_workspace_id_750fcb02": "flows_bundle (workspace_id)",
    "flows_calendar_workspace_id_76813007": "flows_calendar (workspace_id)",
    "flows_deployment_flow_id_7f298998": "flows_deployment (flow_id)",
    "flows_deploymentversion_deployment_id_37b80693": "flows_deploymentversion (deployment_id)",
    "flows_flow_workspace_id_f0dd6fc6": "flows_flow (workspace_id)",
    "flows_membership_workspace_id_a88ef6a8": "flows_membership (workspace_id)",
    "flows_variable_workspace_id_e39450ff": "flows_variable (workspace_id)",
}


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("flows", "0001_squashed_0010_prefect_deployments"),
    ]

    operations = [
        migrations.RunSQL(
            [f"DROP INDEX IF EXISTS {name}" for name in INDEXES],
            [f"CREATE INDEX {name} ON {columns}" for name, columns in INDEXES.items()],
            state_operations=[
                migrations.AlterField(
                    model_name="block",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="blocks",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="bundle",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="bundles",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="calendar",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calendars",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="flow",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deployments",
                        to="flows.flow",
                    ),
                ),
                migrations.AlterField(
                    model_name="deploymentversion",
                    name="deployment",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="flows.deployment",
                    ),
                ),
                migrations.AlterField(
                    model_name="flow",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="flows",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="membership",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="variable",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="variables",
                        to="flows.workspace",
                    ),
                ),
            ],
        ),
    ]
