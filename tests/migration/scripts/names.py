"""Names of runs from templates and callables, and the runtime context."""

import datetime

from prefect import flow, runtime, task


@task(task_run_name="load-{year}-{city}")
def load(year: int, city: str) -> str:
    return runtime.task_run.name


def task_name(parameters: dict) -> str:
    return f"made for {parameters['number']}"


@task(task_run_name=task_name)
def numbered(number: int) -> str:
    return runtime.task_run.name


@flow(flow_run_name="report-{day:%Y-%m-%d}")
def report(day: datetime.date, tags: list[str] = ["a"]) -> list:
    return [
        runtime.flow_run.name,
        runtime.flow_run.flow_name,
        runtime.flow_run.parameters["tags"],
        load(2012, "seattle"),
        numbered(7),
        runtime.flow_run.run_count,
    ]


if __name__ == "__main__":
    print(report(datetime.date(2012, 2, 3)))
    print(report.with_options(flow_run_name="other", name="other-flow")(datetime.date(2012, 2, 3))[:2])
    print(runtime.flow_run.name, runtime.task_run.id)

# Prints:
# ['report-2012-02-03', 'report', ['a'], 'load-2012-seattle', 'made for 7', 1]
# ['other', 'other-flow']
# None None
