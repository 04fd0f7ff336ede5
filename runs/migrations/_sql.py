"""What Django's schema editor cannot express, as a fresh database gets it: partitioned tables and triggers."""

LOG_TABLE = """
CREATE TABLE runs_log (
    id uuid NOT NULL,
    timestamp timestamptz NOT NULL,
    flow_run_id uuid NOT NULL,
    task_run_id uuid,
    level smallint NOT NULL,
    name varchar(200) NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);
CREATE INDEX runs_log_of_run ON runs_log (flow_run_id, timestamp, id);
CREATE TABLE runs_log_default PARTITION OF runs_log DEFAULT;
"""

EVENT_TABLE = """
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
CREATE INDEX runs_event_arrival ON runs_event (workspace_id, received, id);
CREATE TABLE runs_event_default PARTITION OF runs_event DEFAULT;
"""

# Several statements write the history (transition, claim, create, close, release): the trigger sees them
# all. An event has the id of its state, so that a state that is stored again makes no second event.
EVENTS_OF_STATES = """
CREATE FUNCTION runs_event_of_flow_run_state() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER runs_event_of_flow_run_state AFTER INSERT ON runs_flowrunstate
    FOR EACH ROW EXECUTE FUNCTION runs_event_of_flow_run_state();
"""

NO_EVENTS_OF_STATES = """
DROP TRIGGER runs_event_of_flow_run_state ON runs_flowrunstate;
DROP FUNCTION runs_event_of_flow_run_state();
"""

# Schedulers look for coming runs once a second and sleep until the next one is due; of one that is due sooner
# they hear by NOTIFY. Runs further ahead need none: a NOTIFY makes commits wait for each other.
DUE_SOON = """
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

NO_DUE_SOON = "DROP TRIGGER flowrun_due_soon ON runs_flowrun; DROP FUNCTION portal_due_soon();"
