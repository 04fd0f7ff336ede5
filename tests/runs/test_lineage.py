"""What a retry from a chosen task does anew, and what it leaves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from flows.sdk.ids import uuid7
from runs.lineage import Made, untouched

START = datetime(2026, 3, 1, tzinfo=UTC)


class Attempt:
    """Task runs of one attempt, named by their task keys; times are seconds."""

    def __init__(self) -> None:
        self.made: list[Made] = []
        self.ids: dict[str, UUID] = {}

    def call(self, name: str, *sources: str, at: float, until: float | None, within: str = "") -> None:
        inputs = {"value": [str(self.ids[source]) for source in sources]} if sources else {}
        if within:
            inputs["__parents__"] = [str(self.ids[within])]
        key, _, number = name.partition("-")
        end = None if until is None else START + timedelta(seconds=until)
        self.ids[name] = uuid7()
        started = START + timedelta(seconds=at)
        self.made.append(Made(self.ids[name], key, number or "0", inputs, started, end))

    def kept(self, chosen: str) -> set[str]:
        return {
            f"{key}-{number}" if number != "0" else key
            for key, number in untouched(self.made, self.ids[chosen])
        }


def test_in_a_graph_only_what_lies_downstream_is_done_anew() -> None:
    attempt = Attempt()
    attempt.call("left", at=0, until=5)
    attempt.call("right", at=0, until=5)
    attempt.call("sum", "left", at=0, until=6)
    attempt.call("mean", "right", at=0, until=6)
    attempt.call("report", "sum", "mean", at=0, until=7)

    assert attempt.kept("left") == {"right", "mean"}
    assert attempt.kept("report") == {"left", "right", "sum", "mean"}


def test_calls_that_came_later_may_depend_on_a_plain_value() -> None:
    attempt = Attempt()
    for number, name in enumerate(("extract", "clean", "clean-1", "load")):
        attempt.call(name, at=number, until=number + 0.5)

    assert attempt.kept("clean") == {"extract"}
    assert attempt.kept("clean-1") == {"extract", "clean"}


def test_a_task_that_never_ended_has_nothing_after_it() -> None:
    attempt = Attempt()
    attempt.call("slow", at=0, until=None)
    attempt.call("quick", at=1, until=2)

    assert attempt.kept("slow") == {"quick"}


def test_a_call_within_a_task_is_done_by_doing_that_task() -> None:
    attempt = Attempt()
    attempt.call("before", at=0, until=1)
    attempt.call("outer", at=2, until=5)
    attempt.call("inner", within="outer", at=3, until=4)
    attempt.call("user", "outer", at=2, until=6)

    assert attempt.kept("inner") == {"before"}
    assert attempt.kept("outer") == {"before"}


def test_of_the_flows_own_retries_the_last_one_counts() -> None:
    attempt = Attempt()
    attempt.call("extract", at=0, until=1)
    attempt.call("load", at=2, until=3)
    attempt.call("extract", at=4, until=5)
    attempt.call("load", at=6, until=7)

    assert attempt.kept("load") == {"extract"}


def test_nothing_is_kept_when_the_task_run_is_gone() -> None:
    attempt = Attempt()
    attempt.call("extract", at=0, until=1)

    assert untouched(attempt.made, uuid7()) == frozenset()


def test_ten_thousand_calls_are_looked_at_at_once() -> None:
    attempt = Attempt()
    attempt.call("first", at=0, until=0.5)
    for number in range(10_000):
        attempt.call(f"step-{number}", at=1 + number, until=2 + number)

    assert len(untouched(attempt.made, attempt.ids["step-5000"])) == 5001
