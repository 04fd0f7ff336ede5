"""What the app's tables have beside `0001_initial`, in one step, for fresh databases; those made by the
migrations that it replaces go on from where they are.

`0001_initial` stands apart: deployments point to queues, and pools to workspaces.
"""

import agents.models.work_pool
import django.core.validators
import django.db.models.deletion
import flows.sdk.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('agents', '0002_initial'),
        ('agents', '0003_service_status'),
        ('agents', '0004_service_period'),
        ('agents', '0005_presence'),
        ('agents', '0006_agent_life'),
        ('agents', '0007_pools_limits_and_workers'),
        ('agents', '0008_isolation'),
    ]

    initial = True

    dependencies = [
        ('agents', '0001_initial'),
        ('flows', '0001_squashed_0010_prefect_deployments'),
    ]

    operations = [
        migrations.AddField(
            model_name='workpool',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='work_pools', to='flows.workspace'),
        ),
        migrations.AddField(
            model_name='workqueue',
            name='work_pool',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='queues', to='agents.workpool'),
        ),
        migrations.AddConstraint(
            model_name='workpool',
            constraint=models.UniqueConstraint(fields=('workspace', 'name'), name='pool_name_in_workspace'),
        ),
        migrations.AddConstraint(
            model_name='workqueue',
            constraint=models.UniqueConstraint(fields=('work_pool', 'name'), name='queue_name_in_pool'),
        ),
        migrations.CreateModel(
            name='ServiceStatus',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=50)),
                ('hostname', models.CharField(max_length=255)),
                ('pid', models.IntegerField()),
                ('last_success', models.DateTimeField(blank=True, null=True)),
                ('duration_ms', models.FloatField(default=0, help_text='How long the last successful tick took.')),
                ('last_error', models.TextField(blank=True, default='')),
                ('last_error_time', models.DateTimeField(blank=True, null=True)),
                ('every', models.FloatField(default=1, help_text='Seconds from one tick to the next, at most.')),
            ],
            options={
                'verbose_name_plural': 'service statuses',
                'constraints': [models.UniqueConstraint(fields=('name', 'hostname', 'pid'), name='one_status_per_loop')],
            },
        ),
        migrations.AddField(
            model_name='agent',
            name='presence',
            field=models.CharField(blank=True, db_default='', default='', help_text='What was last told of it.', max_length=10),
        ),
        migrations.RemoveIndex(
            model_name='agent',
            name='agent_last_seen',
        ),
        migrations.AddField(
            model_name='agent',
            name='capacity',
            field=models.PositiveSmallIntegerField(db_default=1, default=1, help_text='How many runs it executes at once.'),
        ),
        migrations.AddField(
            model_name='agent',
            name='draining',
            field=models.DateTimeField(blank=True, help_text='Since when it finishes its run and takes no other.', null=True),
        ),
        migrations.AddField(
            model_name='agent',
            name='python',
            field=models.CharField(blank=True, db_default='', default='', max_length=50),
        ),
        migrations.AddField(
            model_name='agent',
            name='refused',
            field=models.TextField(blank=True, db_default='', default='', help_text='Why it may not take runs; it has ended.'),
        ),
        migrations.AlterField(
            model_name='agent',
            name='version',
            field=models.CharField(blank=True, default='', help_text='Of Portal.', max_length=50),
        ),
        migrations.AddField(
            model_name='workpool',
            name='base_job_template',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name='workpool',
            name='concurrency_limit',
            field=models.PositiveIntegerField(blank=True, help_text='Runs of all its queues at once. Empty: no limit. 0: none starts.', null=True),
        ),
        migrations.AddField(
            model_name='workpool',
            name='worker_type',
            field=models.CharField(blank=True, default='', help_text='Of the Prefect workers: process, docker, ...', max_length=100),
        ),
        migrations.AddField(
            model_name='workqueue',
            name='concurrency_limit',
            field=models.PositiveIntegerField(blank=True, help_text='Runs at once. Empty: no limit. 0: none starts.', null=True),
        ),
        migrations.AddField(
            model_name='workqueue',
            name='description',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddField(
            model_name='workqueue',
            name='last_polled',
            field=models.DateTimeField(blank=True, help_text='By a Prefect worker.', null=True),
        ),
        migrations.AlterField(
            model_name='workpool',
            name='type',
            field=models.CharField(choices=[('agents', 'Portal agents'), ('process', 'Portal agents, isolated processes'), ('prefect', 'Prefect workers, which poll')], default='agents', max_length=20),
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.UUIDField(default=flows.sdk.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('heartbeat_interval_seconds', models.FloatField(default=30)),
                ('last_heartbeat_time', models.DateTimeField()),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('updated', models.DateTimeField(auto_now=True)),
                ('work_pool', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='workers', to='agents.workpool')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('work_pool', 'name'), name='worker_name_in_pool')],
            },
        ),
        migrations.AddField(
            model_name='workpool',
            name='cpu_seconds',
            field=models.PositiveIntegerField(blank=True, help_text='CPU time of a process. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='workpool',
            name='environment',
            field=models.JSONField(blank=True, default=dict, help_text='{"NAME": "value"}', validators=[agents.models.work_pool.check_environment]),
        ),
        migrations.AddField(
            model_name='workpool',
            name='memory_mb',
            field=models.PositiveIntegerField(blank=True, help_text='Address space of a process, in MiB. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(128)]),
        ),
        migrations.AddField(
            model_name='workpool',
            name='python',
            field=models.CharField(blank=True, default='', help_text='Interpreter, or folder of a virtual environment.', max_length=500),
        ),
        migrations.AddField(
            model_name='workpool',
            name='working_dir',
            field=models.CharField(blank=True, default='', help_text='Where a process begins.', max_length=500),
        ),
    ]
