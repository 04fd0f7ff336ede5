"""The log table: partitioned by day, which Django's schema editor cannot express."""

from django.db import migrations

CREATE = """
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


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE runs_log")]
