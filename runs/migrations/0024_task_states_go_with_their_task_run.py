"""No constraint from task states to flow runs: nothing is indexed for it, so each deleted run read all states."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0023_no_index_twice")]

    operations = [
        migrations.AlterField(
            model_name="taskrunstate",
            name="flow_run",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="task_run_states",
                to="runs.flowrun",
            ),
        ),
    ]
