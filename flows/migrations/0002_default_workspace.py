"""The workspace that exists from the start."""

from django.db import migrations


def make_default_workspace(apps, schema_editor):
    apps.get_model("flows", "Workspace").objects.get_or_create(name="default")


class Migration(migrations.Migration):
    dependencies = [("flows", "0001_initial")]

    operations = [migrations.RunPython(make_default_workspace, migrations.RunPython.noop)]
