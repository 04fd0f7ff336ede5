"""The event table, partitioned by day, and the trigger that makes an event of every flow-run state."""

import django.db.models.deletion
from django.db import migrations, models

import flows.sdk.ids

CREATE = """
CREATE TABLE runs_event (
    id uuid NOT NULL,
    occurred timestamptz NOT NULL,
    workspace_id uuid NOT NULL,
    event varchar(300) NOT NULL,
    resource_id varchar(500) NOT NULL,
    resource jsonb NOT NULL,
    related jsonb NOT NULL,
    payload jsonb NOT NULL,
    follows uuid,
    received timestamptz NOT NULL,
    PRIMARY KEY (occurred, id)
) PARTITION BY RANGE (occurred);
CREATE INDEX runs_event_newest ON runs_event (workspace_id, occurred DESC, id DESC);
CREATE INDEX runs_event_of_resource ON runs_event (workspace_id, resource_id, occurred DESC, id DESC);
CREATE TABLE runs_event_default PARTITION OF runs_event DEFAULT;
"""

# Several statements write the history (transition, claim, create, close, release): the trigger sees them
# all. An event has the id of its state, so that a state that is stored again makes no second event.
TRIGGER = """
CREATE FUNCTION runs_event_of_flow_run_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO runs_event
        (id, occurred, workspace_id, event, resource_id, resource, related, payload, received)
    SELECT NEW.id, NEW.timestamp, r.workspace_id, 'prefect.flow-run.' || NEW.name,
           'prefect.flow-run.' || r.id,
           jsonb_build_object(
               'prefect.resource.id', 'prefect.flow-run.' || r.id,
               'prefect.resource.name', r.name,
               'prefect.state-message', left(NEW.message, 1000),
               'prefect.state-name', NEW.name,
               'prefect.state-timestamp', NEW.timestamp,
               'prefect.state-type', NEW.type),
           jsonb_build_array(jsonb_build_object(
               'prefect.resource.id', 'prefect.flow.' || r.flow_id,
               'prefect.resource.role', 'flow'))
           || CASE WHEN r.deployment_id IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(
               jsonb_build_object(
                   'prefect.resource.id', 'prefect.deployment.' || r.deployment_id,
                   'prefect.resource.role', 'deployment')) END,
           jsonb_build_object('attempt', NEW.attempt),
           clock_timestamp()
    FROM runs_flowrun r WHERE r.id = NEW.flow_run_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER runs_event_of_flow_run_state AFTER INSERT ON runs_flowrunstate
    FOR EACH ROW EXECUTE FUNCTION runs_event_of_flow_run_state();
"""

NO_TRIGGER = """
DROP TRIGGER runs_event_of_flow_run_state ON runs_flowrunstate;
DROP FUNCTION runs_event_of_flow_run_state();
"""

FIELDS = [
    (
        "id",
        models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False),
    ),
    ("occurred", models.DateTimeField()),
    ("event", models.CharField(help_text="What happened, such as order.paid.", max_length=300)),
    ("resource_id", models.CharField(help_text="To what.", max_length=500)),
    ("resource", models.JSONField(default=dict)),
    ("related", models.JSONField(default=list)),
    ("payload", models.JSONField(default=dict)),
    ("follows", models.UUIDField(null=True)),
    ("received", models.DateTimeField()),
    (
        "workspace",
        models.ForeignKey(
            db_constraint=False,
            db_index=False,
            on_delete=django.db.models.deletion.DO_NOTHING,
            related_name="events",
            to="flows.workspace",
        ),
    ),
]


class Migration(migrations.Migration):
    dependencies = [("runs", "0007_limits")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE runs_event"),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
        migrations.CreateModel(
            name="Event", fields=FIELDS, options={"db_table": "runs_event", "managed": False}
        ),
    ]
