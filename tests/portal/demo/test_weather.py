"""The demo on its real data: by hand, and through the whole stack; its numbers against PostgreSQL's own."""

import pytest
from django.db import connection

from portal.demo.weather import SOURCE, YEARS, extract, summarise, validate, weather_report
from runs.models import Artifact, FlowRun, TaskRunState
from tests.processes import RunningStack, wait_until

# The same report by other means: PostgreSQL reads the file and adds up.
REPORT = """
SELECT extract(year FROM date)::int, count(*)::int, round(sum(precipitation), 1)::float,
       count(*) FILTER (WHERE precipitation > 0)::int, round(avg(temp_max), 2)::float,
       (array_agg(date::text ORDER BY temp_max DESC, date))[1], max(temp_max)::float,
       mode() WITHIN GROUP (ORDER BY weather)
FROM weather GROUP BY 1 ORDER BY 1
"""
COLUMNS = (
    "year", "days", "precipitation_mm", "rainy_days", "mean_high_c", "hottest_day", "hottest_c", "mostly"
)  # fmt: skip


def report_by_postgresql() -> list[dict[str, object]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE weather (date date, precipitation numeric, temp_max numeric,"
            " temp_min numeric, wind numeric, weather text)"
        )
        with cursor.copy("COPY weather FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(SOURCE.read_bytes())
        cursor.execute(REPORT)
        return [dict(zip(COLUMNS, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.django_db
def test_its_numbers_are_those_that_postgresql_computes() -> None:
    rows = [summarise(validate(extract(year, str(SOURCE), 0), 0), 0) for year in YEARS]
    assert rows == report_by_postgresql()


def test_it_reads_every_day_and_survives_the_flaky_source() -> None:
    assert weather_report(pace=0) == 1461


def test_validation_names_the_bad_day() -> None:
    day = {"date": "2012-01-01", "precipitation": -1.0, "temp_max": 5.0, "temp_min": 1.0, "weather": "rain"}
    with pytest.raises(ValueError, match=r"implausible day.*2012-01-01"):
        validate([day], 0)


@pytest.mark.processes
def test_an_agent_runs_it_and_publishes_the_table(stack: RunningStack) -> None:
    assert stack.run("prepare").returncode == 0
    stack.start("rqworker", "default").wait_for("serves")
    assert stack.run("runflow", "weather-report/demo", "--param", "pace=0", "--watch").returncode == 0

    run = FlowRun.objects.get(state_type="COMPLETED")
    wait_until(lambda: Artifact.objects.filter(flow_run=run).exists())
    assert Artifact.objects.get(flow_run=run, key="weather-by-year").data == report_by_postgresql()
    opened = TaskRunState.objects.filter(flow_run=run, task_run__task_key__contains="open_source")
    assert list(opened.order_by("sequence").values_list("name", flat=True)) == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "Completed"
    ]  # fmt: skip
    assert run.task_runs.filter(state_type="COMPLETED").count() == 1 + 3 * len(YEARS) + 1
