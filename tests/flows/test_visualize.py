"""`flow.visualize()`: what a flow would do, drawn without running its tasks."""

import asyncio

import pytest

from flows import flow, task
from flows.exceptions import FlowVisualizationError, VisualizationUnsupportedError


@task
def extract(day: str) -> str:
    raise AssertionError("tasks are not run in a drawing")


@task(viz_return_value=[1, 2])
def rows(raw: str) -> list[int]:
    raise AssertionError("tasks are not run in a drawing")


@task
def load(table: object, comment: str = "") -> None:
    raise AssertionError("tasks are not run in a drawing")


def test_direct_calls_are_joined_by_what_they_are_given() -> None:
    @flow
    def daily(day: str) -> None:
        load(rows(extract(day)))

    assert daily.visualize("monday") == (
        'digraph "daily" {\n  "extract-0";\n  "rows-0";\n  "load-0";\n'
        '  "extract-0" -> "rows-0";\n  "rows-0" -> "load-0";\n}'
    )


def test_submitted_calls_and_wait_for_are_drawn_too() -> None:
    @flow
    def daily() -> None:
        first = extract.submit("monday")
        second = extract.submit("tuesday")
        load.submit({"all": [first, second.result()]}).wait()
        load(1, wait_for=[first])

    assert daily.generate_mermaid_graph() == (
        'flowchart TD\n    n0["extract-0"]\n    n1["extract-1"]\n    n2["load-0"]\n    n3["load-1"]\n'
        "    n0 --> n2\n    n1 --> n2\n    n0 --> n3"
    )


def test_code_goes_on_with_the_value_that_a_task_gives_in_drawings() -> None:
    @flow
    def daily() -> None:
        for number in rows("raw"):
            load(number)

    assert '"load-1"' in daily.visualize()


def test_code_that_needs_a_real_value_says_which_option_helps() -> None:
    @flow
    def daily() -> None:
        for row in extract("monday"):
            load(row)

    with pytest.raises(FlowVisualizationError, match="viz_return_value"):
        daily.visualize()


def test_a_map_cannot_be_drawn() -> None:
    @flow
    def daily() -> None:
        extract.map(["monday"])

    with pytest.raises(VisualizationUnsupportedError, match="extract"):
        daily.visualize()


def test_subflows_and_async_flows_are_drawn() -> None:
    @task
    async def fetch() -> str:
        raise AssertionError("tasks are not run in a drawing")

    @flow
    def inner(raw: str) -> None:
        raise AssertionError("subflows are not run in a drawing")

    @flow
    async def outer() -> None:
        inner(await fetch())

    assert '"fetch-0" -> "inner-0";' in asyncio.run(outer.avisualize())
