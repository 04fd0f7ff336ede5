"""Fresh databases are made by the squashed migrations, older ones go on by the steps, to the same end."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.plugin import DjangoDbBlocker

from runs.session import conninfo_of_django

LAST_STEPS = {
    "agents": "0008_isolation",
    "flows": "0010_prefect_deployments",
    "portal": "0001_initial",
    "runs": "0022_planned_backfills_and_tables_in_order",
}

# Where an installation may stand when this version comes, one after the other: each step is taken once.
STANDS = [
    {"flows": "0001_initial", "agents": "0008_isolation"},
    {"flows": "0005_versions_and_bundles", "runs": "0013_errands"},
]

# The days' partitions depend on the date; columns have no order that anything relies on.
SCHEMA = """
WITH tables AS (
    SELECT * FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname !~ '_[0-9]{8}$')
SELECT concat_ws(' ', 'table', relname, relkind, relpersistence, reloptions,
                 CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END, pg_get_expr(relpartbound, oid))
FROM tables
UNION ALL
SELECT concat_ws(' ', 'column', t.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                 a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), a.attstorage, a.attcollation)
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT concat_ws(' ', 'constraint', t.relname, c.conname, pg_get_constraintdef(c.oid))
FROM tables t JOIN pg_constraint c ON c.conrelid = t.oid
UNION ALL
SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
FROM tables t JOIN pg_index i ON i.indrelid = t.oid
UNION ALL
SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(g.oid))
FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT concat_ws(' ', 'sequence', relname) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
UNION ALL
SELECT concat_ws(' ', 'function', pg_get_functiondef(oid)) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
ORDER BY 1
"""


@pytest.fixture
def empty_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The ORM's connection leads to a database without any table."""
    original = connection.settings_dict["NAME"]
    name = f"empty_{uuid4().hex[:12]}"
    with django_db_blocker.unblock(), psycopg.connect(**conninfo_of_django(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        connection.close()
        connection.settings_dict["NAME"] = name
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = original
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="module")
def schema_of_a_fresh_one(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> list[str]:
    """The test database was made in one go."""
    with django_db_blocker.unblock():
        found = schema()
        connection.close()
    return found


def schema() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return [line for (line,) in cursor.fetchall()]


def migrate_by_steps(stand: dict[str, str]) -> None:
    """As the versions did that knew no squashed migrations."""
    executor = MigrationExecutor(connection)
    executor.loader = MigrationLoader(connection, replace_migrations=False)
    executor.loader.replacements.clear()
    executor.migrate(list(stand.items()))


def forget_squashed() -> None:
    """As the last version left it that knew none: every step is taken."""
    recorder = MigrationRecorder(connection)
    for migration in MigrationLoader(connection).disk_migrations.values():
        if migration.replaces:
            recorder.record_unapplied(migration.app_label, migration.name)


def planned() -> list[Migration]:
    """What `migrate` would do now."""
    executor = MigrationExecutor(connection)
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def test_every_installation_comes_out_as_a_fresh_one(
    empty_database: None, schema_of_a_fresh_one: list[str]
) -> None:
    for stand in STANDS:
        migrate_by_steps(stand)
        begun = {app for app, _ in MigrationRecorder(connection).applied_migrations()}
        assert not [
            migration for migration in planned() if migration.replaces and migration.app_label in begun
        ]

    call_command("migrate", verbosity=0, interactive=False)

    assert schema() == schema_of_a_fresh_one
    call_command("migrate", check_unapplied=True, verbosity=0)  # exits if anything is left to do

    forget_squashed()
    call_command("migrate", verbosity=0, interactive=False)

    assert schema() == schema_of_a_fresh_one
    call_command("migrate", check_unapplied=True, verbosity=0)


def test_a_fresh_database_takes_no_steps(empty_database: None) -> None:
    plan = planned()

    steps = {step for migration in plan for step in migration.replaces}
    assert {step for step in LAST_STEPS.items() if step[0] != "portal"} <= steps
    assert not steps & {(migration.app_label, migration.name) for migration in plan}
