"""Wake the schedulers for a run that is due in a moment, whoever made it so.

They look for coming runs once a second, and sleep until the next one is due. Of one that is due sooner than
they would look they hear by NOTIFY. Runs further ahead need none: a NOTIFY makes commits wait for each other.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION portal_due_soon() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('portal_due_soon', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER flowrun_due_soon
    AFTER INSERT OR UPDATE OF expected_start_time ON runs_flowrun
    FOR EACH ROW
    WHEN (NEW.state_type = 'SCHEDULED' AND NEW.expected_start_time > now()
          AND NEW.expected_start_time < now() + interval '2 seconds')
    EXECUTE FUNCTION portal_due_soon();
"""
DROP = "DROP TRIGGER flowrun_due_soon ON runs_flowrun; DROP FUNCTION portal_due_soon();"


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0015_resource_use"),
    ]

    operations = [migrations.RunSQL(CREATE, DROP)]
