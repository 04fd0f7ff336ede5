"""The demo: a small ETL flow over four years of real weather.

It extracts by year, survives a source that fails at first, validates each year, and publishes a
table with one row a year. `pace` slows it down so that a person can watch it run.
"""

import csv
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows import flow, get_run_logger, task, unmapped
from flows.artifacts import create_table_artifact
from flows.runtime import task_run

SOURCE = Path(__file__).parent / "data" / "seattle-weather.csv"
YEARS = [2012, 2013, 2014, 2015]
KINDS = {"drizzle", "fog", "rain", "snow", "sun"}

Day = dict[str, Any]


class SourceUnavailable(RuntimeError):
    """The source did not answer; it usually does a moment later."""


@task(retries=2, retry_delay_seconds=0.5)
def open_source(flaky: bool, pace: float) -> str:
    """Where the data lie. With `flaky`, the first try fails, as sources do."""
    time.sleep(pace)
    if flaky and task_run.run_count == 1:
        raise SourceUnavailable("503 from the weather source: try again")
    return str(SOURCE)


@task(task_run_name="extract-{year}")
def extract(year: int, source: str, pace: float) -> list[Day]:
    """The days of one year, with numbers for text."""
    time.sleep(pace)
    days = list(_read(source, year))
    get_run_logger().info("%d has %d days", year, len(days))
    return days


@task
def validate(days: list[Day], pace: float) -> list[Day]:
    """The same days, or an error that names the first bad one."""
    time.sleep(pace)
    for day in days:
        if day["temp_min"] > day["temp_max"] or day["precipitation"] < 0 or day["weather"] not in KINDS:
            raise ValueError(f"implausible day: {day}")
    if len({day["date"] for day in days}) != len(days):
        raise ValueError("a day occurs twice")
    return days


@task
def summarise(days: list[Day], pace: float) -> Day:
    """One row of the report: a year's totals, extremes and most frequent weather."""
    time.sleep(pace)
    hottest = max(days, key=lambda day: day["temp_max"])
    return {
        "year": int(days[0]["date"][:4]),
        "days": len(days),
        "precipitation_mm": round(sum(day["precipitation"] for day in days), 1),
        "rainy_days": sum(day["precipitation"] > 0 for day in days),
        "mean_high_c": round(sum(day["temp_max"] for day in days) / len(days), 2),
        "hottest_day": hottest["date"],
        "hottest_c": hottest["temp_max"],
        "mostly": Counter(day["weather"] for day in days).most_common(1)[0][0],
    }


@task
def publish(rows: list[Day]) -> int:
    """Show the report as a table; return how many days it covers."""
    create_table_artifact(rows, key="weather-by-year", description="Seattle's weather, year by year")
    return sum(row["days"] for row in rows)


@flow(log_prints=True)
def weather_report(years: list[int] = YEARS, flaky: bool = True, pace: float = 0.3) -> int:
    """Summarise Seattle's weather by year; return the number of days read."""
    source = open_source.submit(flaky, pace)
    extracted = extract.map(years, unmapped(source), unmapped(pace))
    valid = validate.map(extracted, unmapped(pace))
    rows = summarise.map(valid, unmapped(pace))
    days = publish([row.result() for row in rows])
    print(f"Read {days} days of {len(years)} years")
    return days


def _read(source: str, year: int) -> Iterator[Day]:
    with Path(source).open(newline="") as file:
        for row in csv.DictReader(file):
            if row["date"].startswith(f"{year}/"):
                numbers = {
                    name: float(row[name]) for name in ("precipitation", "temp_max", "temp_min", "wind")
                }
                yield {"date": row["date"].replace("/", "-"), "weather": row["weather"], **numbers}
