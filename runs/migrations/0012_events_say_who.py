"""Events of flow-run states say who acted, what was before, and what else had to do with it."""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION runs_event_of_flow_run_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO runs_event
        (id, occurred, workspace_id, event, resource_id, resource, related, payload, follows, received)
    SELECT NEW.id, NEW.timestamp, r.workspace_id, 'prefect.flow-run.' || NEW.name,
           'prefect.flow-run.' || r.id,
           jsonb_build_object(
               'prefect.resource.id', 'prefect.flow-run.' || r.id,
               'prefect.resource.name', r.name,
               'prefect.state-message', left(NEW.message, 1000),
               'prefect.state-name', NEW.name,
               'prefect.state-timestamp', NEW.timestamp,
               'prefect.state-type', NEW.type),
           (SELECT jsonb_agg(jsonb_build_object(
                'prefect.resource.id', kind || '.' || id, 'prefect.resource.role', role))
            FROM (VALUES
                ('prefect.flow', r.flow_id, 'flow'),
                ('prefect.deployment', r.deployment_id, 'deployment'),
                ('prefect.work-queue', r.work_queue_id, 'work-queue'),
                ('portal.agent', r.agent_id, 'agent'),
                ('prefect.flow-run', r.root_run_id, 'root-flow-run')) AS others(kind, id, role)
            WHERE id IS NOT NULL),
           jsonb_build_object('attempt', NEW.attempt, 'actor', coalesce(
               NEW.state_details -> 'actor',
               CASE WHEN NEW.attempt = 0 THEN r.created_by END,
               (SELECT jsonb_build_object('type', 'AGENT', 'id', a.id, 'display_value', a.name)
                FROM agents_agent a WHERE a.id = r.agent_id))),
           (SELECT s.id FROM runs_flowrunstate s
            WHERE s.flow_run_id = NEW.flow_run_id AND s.id <> NEW.id
            ORDER BY s.timestamp DESC LIMIT 1),
           clock_timestamp()
    FROM runs_flowrun r WHERE r.id = NEW.flow_run_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0011_retention_and_stats"),
        ("agents", "0005_presence"),
    ]

    operations = [migrations.RunSQL(FUNCTION, migrations.RunSQL.noop)]
