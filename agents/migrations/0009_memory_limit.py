"""The limit of memory counts what is written to, not address space: its help says so."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_isolation"),
    ]

    operations = [
        migrations.AlterField(
            model_name="workpool",
            name="memory_mb",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Memory of a process, in MiB. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(128)],
            ),
        ),
    ]
