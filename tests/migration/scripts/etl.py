"""Extract, transform, load: retries, tags, logging, a result."""

import tempfile
from pathlib import Path

from prefect import flow, get_run_logger, tags, task

attempts = []


@task(retries=3, retry_delay_seconds=0.01, tags=["source"])
def extract(year: int) -> list[dict]:
    attempts.append(year)
    if len(attempts) < 3:
        raise ConnectionError("the source is asleep")
    return [{"day": day, "rain": day * year % 7} for day in range(1, 8)]


@task
def transform(rows: list[dict]) -> dict:
    get_run_logger().info("transforming %d rows", len(rows))
    return {"days": len(rows), "rain": sum(row["rain"] for row in rows)}


@task(name="Load the report")
def load(report: dict, target: Path) -> Path:
    target.write_text(f"{report['days']} days, {report['rain']} mm")
    return target


@flow(name="Rain report", description="A small pipeline", log_prints=True)
def etl(year: int = 2012) -> str:
    print("starting")
    target = Path(tempfile.mkdtemp()) / "report.txt"
    rows = extract(year)
    return load(transform(rows), target).read_text()


if __name__ == "__main__":
    with tags("nightly"):
        print(etl(2012))
    print(len(attempts), "attempts;", etl.name, "|", load.name)

# Prints:
# 7 days, 21 mm
# 3 attempts; Rain report | Load the report
