from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0005_presence"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="agent",
            name="agent_last_seen",
        ),
        migrations.AddField(
            model_name="agent",
            name="capacity",
            field=models.PositiveSmallIntegerField(
                db_default=1, default=1, help_text="How many runs it executes at once."
            ),
        ),
        migrations.AddField(
            model_name="agent",
            name="draining",
            field=models.DateTimeField(
                blank=True, help_text="Since when it finishes its run and takes no other.", null=True
            ),
        ),
        migrations.AddField(
            model_name="agent",
            name="python",
            field=models.CharField(blank=True, db_default="", default="", max_length=50),
        ),
        migrations.AddField(
            model_name="agent",
            name="refused",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="Why it may not take runs; it has ended."
            ),
        ),
        migrations.AlterField(
            model_name="agent",
            name="version",
            field=models.CharField(blank=True, default="", help_text="Of Portal.", max_length=50),
        ),
    ]
