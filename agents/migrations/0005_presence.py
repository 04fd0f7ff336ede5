"""What was last told of an agent."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0004_service_period"),
    ]

    operations = [
        migrations.AddField(
            model_name="agent",
            name="presence",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="What was last told of it.", max_length=10
            ),
        ),
    ]
