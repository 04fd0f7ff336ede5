"""Day partitions of the log table."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from flows.sdk.ids import uuid7
from runs.models import Log
from runs.partitions import ensure_partitions
from tests.factories import make_run

pytestmark = pytest.mark.django_db


def partition_of(log: Log) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM runs_log WHERE id = %s", [log.id])
        name: str = cursor.fetchone()[0]
    return name


def write(day: datetime) -> Log:
    return Log.objects.create(
        id=uuid7(), timestamp=day, flow_run=make_run(), level=20, name="flows", message="hello"
    )


def test_today_and_the_next_days_exist_after_migrating() -> None:
    today = datetime.now(UTC)
    assert partition_of(write(today)) == f"runs_log_{today:%Y%m%d}"


def test_other_days_lose_nothing() -> None:
    assert partition_of(write(datetime(2001, 1, 1, tzinfo=UTC))) == "runs_log_default"


def test_making_partitions_twice_makes_them_once() -> None:
    assert ensure_partitions(date(2040, 1, 1), days=2) == 6  # of logs and of events
    assert ensure_partitions(date(2040, 1, 1), days=2) == 0
