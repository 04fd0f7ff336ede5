from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("flows", "0006_job_variables"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="hand_back",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="An agent that stops gives a run that takes too long to another agent, which begins it again. Off: the agent waits for its end.",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="quarantined",
            field=models.DateTimeField(
                blank=True, help_text="Since when it is paused because its last runs all crashed.", null=True
            ),
        ),
    ]
