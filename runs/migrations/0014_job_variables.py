from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0013_errands"),
    ]

    operations = [
        migrations.AddField(
            model_name="flowrun",
            name="job_variables",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, help_text="On top of the deployment's."
            ),
        ),
    ]
