"""How pools of the type `process` start the processes of their runs."""

import django.core.validators
from django.db import migrations, models

import agents.models.work_pool


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0007_pools_limits_and_workers"),
    ]

    operations = [
        migrations.AddField(
            model_name="workpool",
            name="cpu_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="CPU time of a process. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="workpool",
            name="environment",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text='{"NAME": "value"}',
                validators=[agents.models.work_pool.check_environment],
            ),
        ),
        migrations.AddField(
            model_name="workpool",
            name="memory_mb",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Address space of a process, in MiB. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(128)],
            ),
        ),
        migrations.AddField(
            model_name="workpool",
            name="python",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Interpreter, or folder of a virtual environment.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            model_name="workpool",
            name="working_dir",
            field=models.CharField(
                blank=True, default="", help_text="Where a process begins.", max_length=500
            ),
        ),
    ]
