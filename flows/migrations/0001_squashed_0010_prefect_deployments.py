"""All of the app's tables in one step, for fresh databases; those made by the migrations that it replaces
go on from where they are.

It waits for all of Django's own migrations of users, which take less time while nothing points to users.
"""

import datetime
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import flows.models.calendar
import flows.sdk.ids
from django.conf import settings
from django.db import migrations, models


def make_default_workspace(apps, schema_editor):
    apps.get_model("flows", "Workspace").objects.get_or_create(name="default")


class Migration(migrations.Migration):

    replaces = [
        ('flows', '0001_initial'),
        ('flows', '0002_default_workspace'),
        ('flows', '0003_crash_retries'),
        ('flows', '0004_variables_and_blocks'),
        ('flows', '0005_versions_and_bundles'),
        ('flows', '0006_job_variables'),
        ('flows', '0007_handing_back'),
        ('flows', '0008_calendars_and_rrules'),
        ('flows', '0009_deployment_limits'),
        ('flows', '0010_prefect_deployments'),
    ]

    initial = True

    dependencies = [
        ('agents', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.CreateModel(
            name='Workspace',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, unique=True, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$', 'Use letters, digits, spaces, dots, dashes and underscores, at most 100.')])),
                ('created', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Calendar',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$', 'Use letters, digits, spaces, dots, dashes and underscores, at most 100.')])),
                ('timezone', models.CharField(default='UTC', max_length=64, verbose_name='time zone')),
                ('weekdays', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), default=flows.models.calendar.every_day, size=None)),
                ('holidays', django.contrib.postgres.fields.ArrayField(base_field=models.DateField(), blank=True, default=list, size=None)),
                ('blackouts', models.JSONField(blank=True, default=list)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='calendars', to='flows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'name'), name='calendar_name_once')],
            },
        ),
        migrations.CreateModel(
            name='Flow',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$', 'Use letters, digits, spaces, dots, dashes and underscores, at most 100.')])),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, default=list, size=None)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='flows', to='flows.workspace')),
                ('labels', models.JSONField(blank=True, db_default={}, default=dict, help_text='JSON, for Prefect clients.')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'name'), name='flow_name_in_workspace')],
            },
        ),
        migrations.CreateModel(
            name='Deployment',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$', 'Use letters, digits, spaces, dots, dashes and underscores, at most 100.')])),
                ('description', models.TextField(blank=True, default='')),
                ('entrypoint', models.CharField(blank=True, max_length=500)),
                ('path', models.CharField(blank=True, default='', max_length=1000)),
                ('parameters', models.JSONField(blank=True, default=dict)),
                ('parameter_openapi_schema', models.JSONField(blank=True, default=dict)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, default=list, size=None)),
                ('version', models.CharField(blank=True, default='', max_length=100)),
                ('paused', models.BooleanField(default=False)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('work_queue', models.ForeignKey(blank=True, help_text='Empty: a process that called flow.serve() fetches its runs.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deployments', to='agents.workqueue')),
                ('flow', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deployments', to='flows.flow')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deployments', to='flows.workspace')),
                ('crash_retries', models.PositiveSmallIntegerField(blank=True, help_text='How often a crashed run is run again. Empty: as the flow says.', null=True)),
                ('crash_retry_delay_seconds', models.FloatField(blank=True, help_text='Empty: as the flow says.', null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('version_number', models.PositiveIntegerField(default=0, help_text='Of its DeploymentVersion.')),
                ('enforce_parameter_schema', models.BooleanField(db_default=True, default=True, help_text='Refuse runs whose parameters do not fit the flow.')),
                ('job_variables', models.JSONField(blank=True, db_default={}, default=dict, help_text='JSON. For who executes its runs.')),
                ('hand_back', models.BooleanField(db_default=True, default=True, help_text='An agent that stops gives a run that takes too long to another agent, which begins it again. Off: the agent waits for its end.')),
                ('quarantined', models.DateTimeField(blank=True, help_text='Since when it is paused because its last runs all crashed.', null=True)),
                ('collision_strategy', models.CharField(choices=[('ENQUEUE', 'Wait for a free slot'), ('CANCEL_NEW', 'Cancel the new run'), ('CANCEL_RUNNING', 'Cancel the oldest running one'), ('KEEP_LATEST', 'Wait, but only the newest')], default='ENQUEUE', max_length=20)),
                ('concurrency_limit', models.PositiveIntegerField(blank=True, help_text='Runs at once. Empty: no limit. 0: none starts.', null=True)),
                ('labels', models.JSONField(blank=True, db_default={}, default=dict, help_text='JSON, for Prefect clients.')),
                ('last_polled', models.DateTimeField(blank=True, help_text='By the process that serves it.', null=True)),
                ('pull_steps', models.JSONField(blank=True, db_default=[], default=list, help_text="JSON. How Prefect's processes fetch the code.")),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('paused', True), ('concurrency_limit', 0), _connector='OR'), fields=['work_queue'], name='deployment_shut'), models.Index(condition=models.Q(('concurrency_limit__isnull', False), models.Q(('collision_strategy', 'ENQUEUE'), _negated=True)), fields=['work_queue'], name='deployment_collides')],
                'constraints': [models.UniqueConstraint(fields=('flow', 'name'), name='deployment_name_in_flow')],
            },
        ),
        migrations.CreateModel(
            name='DeploymentVersion',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('values', models.JSONField()),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='flows.deployment')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('deployment', 'number'), name='version_once')],
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('cron', models.CharField(blank=True, default='', max_length=200)),
                ('interval', models.DurationField(blank=True, null=True)),
                ('anchor_date', models.DateTimeField(default=datetime.datetime(2020, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))),
                ('timezone', models.CharField(default='UTC', max_length=64, verbose_name='time zone')),
                ('parameters', models.JSONField(blank=True, default=dict)),
                ('active', models.BooleanField(default=True)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to='flows.deployment')),
                ('calendar_policy', models.CharField(choices=[('skip', 'Skip it'), ('move', 'Move it to the next allowed moment')], db_default='skip', default='skip', max_length=10)),
                ('day_or', models.BooleanField(db_default=True, default=True, help_text='A cron that names day and weekday happens when either fits; off: only when both do.', verbose_name='day or weekday')),
                ('missed_at_most', models.PositiveSmallIntegerField(db_default=100, default=100, help_text='Of all missed, the newest so many.')),
                ('missed_runs', models.CharField(choices=[('skip', 'Skip them'), ('latest', 'Run the latest'), ('all', 'Run all')], db_default='latest', default='latest', max_length=10)),
                ('missed_within_seconds', models.PositiveIntegerField(blank=True, help_text='Only those missed less than this ago. Empty: however long ago.', null=True)),
                ('rrule', models.TextField(blank=True, db_default='', default='', max_length=6500)),
                ('slug', models.CharField(blank=True, db_default='', default='', help_text='Unique in its deployment.', max_length=100, verbose_name='name')),
                ('calendar', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='schedules', to='flows.calendar')),
                ('max_scheduled_runs', models.PositiveSmallIntegerField(blank=True, help_text='Runs made ahead at most. Empty: as many as the scheduler likes.', null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('cron', ''), ('interval__isnull', False), ('rrule', '')), models.Q(models.Q(('cron', ''), _negated=True), ('interval__isnull', True), ('rrule', '')), models.Q(models.Q(('rrule', ''), _negated=True), ('cron', ''), ('interval__isnull', True)), _connector='OR'), name='schedule_has_one_rule'), models.UniqueConstraint(condition=models.Q(('slug', ''), _negated=True), fields=('deployment', 'slug'), name='schedule_slug_once')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('viewer', 'Viewer: read'), ('operator', 'Operator: run and cancel'), ('editor', 'Editor: change deployments and queues'), ('admin', 'Admin: change members and tokens')], default='viewer', max_length=20)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='flows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'user'), name='membership_once')],
            },
        ),
        migrations.CreateModel(
            name='Variable',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=255, validators=[django.core.validators.RegexValidator('\\A[a-z0-9]+([_-][a-z0-9]+)*\\Z', 'Use lower-case letters, digits, and single _ or - between them.')])),
                ('value', models.JSONField(blank=True, null=True)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, default=list, size=None)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='variables', to='flows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'name'), name='variable_in_workspace')],
            },
        ),
        migrations.CreateModel(
            name='Block',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('type', models.CharField(default='secret', max_length=200, validators=[django.core.validators.RegexValidator('\\A[a-z0-9]+(-[a-z0-9]+)*\\Z', 'Use lower-case letters, digits and single dashes between them.')])),
                ('name', models.CharField(max_length=200, validators=[django.core.validators.RegexValidator('\\A[a-z0-9]+(-[a-z0-9]+)*\\Z', 'Use lower-case letters, digits and single dashes between them.')])),
                ('sealed', models.BinaryField()),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='blocks', to='flows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'type', 'name'), name='block_in_workspace')],
            },
        ),
        migrations.CreateModel(
            name='Bundle',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('sha256', models.CharField(max_length=64)),
                ('data', models.BinaryField()),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bundles', to='flows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'sha256'), name='bundle_once')],
            },
        ),
        migrations.RunPython(make_default_workspace, migrations.RunPython.noop),
    ]
