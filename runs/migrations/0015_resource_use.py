from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0014_job_variables"),
    ]

    operations = [
        migrations.AddField(
            model_name="flowrun",
            name="cpu_seconds",
            field=models.FloatField(
                blank=True, help_text="User and system time of its processes, all attempts.", null=True
            ),
        ),
        migrations.AddField(
            model_name="flowrun",
            name="peak_memory_bytes",
            field=models.BigIntegerField(
                blank=True, help_text="The most that one of its processes had in memory.", null=True
            ),
        ),
    ]
