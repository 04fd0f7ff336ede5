"""Drop indexes that are only the beginning of another one, as `runs/0023` does and says why."""

import django.db.models.deletion
from django.db import migrations, models

INDEXES = {
    "agents_worker_work_pool_id_3d64f7e9": "agents_worker (work_pool_id)",
    "agents_workpool_workspace_id_59099d1e": "agents_workpool (workspace_id)",
    "agents_workqueue_work_pool_id_3247ad66": "agents_workqueue (work_pool_id)",
}


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("agents", "0009_memory_limit"),
        ("flows", "0011_no_index_twice"),
    ]

    operations = [
        migrations.RunSQL(
            [f"DROP INDEX IF EXISTS {name}" for name in INDEXES],
            [f"CREATE INDEX {name} ON {columns}" for name, columns in INDEXES.items()],
            state_operations=[
                migrations.AlterField(
                    model_name="worker",
                    name="work_pool",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="workers",
                        to="agents.workpool",
                    ),
                ),
                migrations.AlterField(
                    model_name="workpool",
                    name="workspace",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="work_pools",
                        to="flows.workspace",
                    ),
                ),
                migrations.AlterField(
                    model_name="workqueue",
                    name="work_pool",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="queues",
                        to="agents.workpool",
                    ),
                ),
            ],
        ),
    ]
