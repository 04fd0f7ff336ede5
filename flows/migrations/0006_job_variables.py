from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("flows", "0005_versions_and_bundles"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="enforce_parameter_schema",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Refuse runs whose parameters do not fit the flow."
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="job_variables",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, help_text="JSON. For who executes its runs."
            ),
        ),
    ]
