"""Names, descriptions, versions, tags, prints: options that say what a run is called and shows."""

from typing import Any

import pytest

from flows import flow, runtime, tags, task
from flows.sdk.memory import MemoryRecorder


def test_flow_run_name_may_be_a_function(recorder: MemoryRecorder) -> None:
    @flow(flow_run_name=lambda: f"{runtime.flow_run.flow_name} of {runtime.flow_run.parameters['year']}")
    def report(year: int = 2026) -> str | None:
        return runtime.flow_run.name

    assert report() == "report of 2026"
    assert recorder.flow_runs[0].name == "report of 2026"


def test_flow_run_name_is_made_of_converted_parameters(recorder: MemoryRecorder) -> None:
    @flow(flow_run_name="{number:03d}")
    def work(number: int) -> None: ...

    work("7")
    assert recorder.flow_runs[0].name == "007"


def test_task_run_name_may_be_a_template_or_a_function(recorder: MemoryRecorder) -> None:
    one = task(task_run_name="load-{year}")(lambda year: None)
    other = task(task_run_name=lambda parameters: f"save-{parameters['year']}")(lambda year: None)
    third = task(task_run_name=lambda: "plain")(lambda year: None)
    flow(lambda: ([each(1) for each in (one, other, third)], None)[-1], name="work")()
    names = [event.name for event in recorder.task_events if event.state.is_completed()]
    assert names == ["load-1", "save-1", "plain"]


def test_a_run_that_cannot_be_named_fails_and_says_why(recorder: MemoryRecorder) -> None:
    bad = task(task_run_name=lambda: 7)(lambda: None)
    state = flow(lambda: {"bad": bad(return_state=True)}, name="work")()["bad"]
    assert state.message == (
        "The task run could not be named: The function given as task_run_name must return a text, "
        "but returned 7."
    )
    state = flow(flow_run_name="{nothing}")(lambda: None)(return_state=True)
    assert state.message.startswith("The flow run could not be named: The flow_run_name template '{nothing}'")


@pytest.mark.parametrize("decorator", [flow, task])
def test_a_name_that_is_neither_text_nor_function_is_refused(decorator: Any) -> None:
    option = f"{decorator.__name__}_run_name"
    with pytest.raises(TypeError, match=f"{option} must be a template or a function"):
        decorator(**{option: 7})(lambda: None)


def test_the_version_of_a_flow_is_a_hash_of_its_file() -> None:
    one, other = flow(lambda: 1), flow(lambda: 2)
    assert one.version == other.version
    assert one.version and len(one.version) == 32
    assert flow(version="3")(lambda: 1).version == "3"
    assert flow(eval("lambda: 1")).version is None
    assert task(lambda: 1).version is None


def test_the_description_is_the_docstring() -> None:
    def documented() -> None:
        """Does nothing."""

    assert flow(documented).description == task(documented).description == "Does nothing."
    assert flow(documented, description="Other").description == "Other"


def test_subflows_and_tasks_inherit_log_prints(recorder: MemoryRecorder) -> None:
    say = task(lambda text: print(text), name="say")
    child = flow(lambda: (print("child"), say("task in child"), None)[-1], name="child")
    mute = flow(lambda: print("mute"), name="mute", log_prints=False)
    flow(lambda: (child(), mute(), None)[-1], name="parent", log_prints=True)()
    messages = [line.message for line in recorder.logs]
    assert "child" in messages
    assert "task in child" in messages
    assert "mute" not in messages


def test_log_prints_has_a_default(recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LOGGING_LOG_PRINTS", "true")
    flow(lambda: print("hello"), name="work")()
    assert "hello" in [line.message for line in recorder.logs]


def test_tags_add_to_those_around(recorder: MemoryRecorder) -> None:
    tagged = task(lambda: None, name="tagged", tags=["own"])
    with tags("around"):
        flow(lambda: tagged(), name="work", tags=["of-flow"])()
    assert recorder.flow_runs[0].tags == ("around", "of-flow")
    assert set(recorder.task_events[-1].tags) == {"around", "own"}


def test_parameters_may_be_left_unchecked(recorder: MemoryRecorder) -> None:
    @flow(validate_parameters=False)
    def work(number: int) -> Any:
        return number

    assert work("7") == "7"
    assert work.with_options(validate_parameters=True)("7") == 7


def test_an_unserialisable_parameter_is_passed_and_shown_by_its_type(recorder: MemoryRecorder) -> None:
    secret = object()
    assert flow(lambda thing: thing is secret, name="work")(secret) is True
    assert recorder.flow_runs[0].parameters == {"thing": "<object>"}


def all_options(kind: Any) -> dict[str, Any]:
    """A value that is not the default, for each option."""

    def hook(*_: Any) -> None: ...

    options: dict[str, Any] = {
        "name": "other", "version": "7", "description": "text", "tags": ("x",), "retries": 2,
        "retry_delay_seconds": 3, "timeout_seconds": 4, "log_prints": False,
        "on_running": [hook], "on_completion": [hook], "on_failure": [hook],
    }  # fmt: skip
    if kind is task:
        return options | {
            "task_run_name": "{x}", "retry_jitter_factor": 0.5, "retry_condition_fn": hook,
        }  # fmt: skip
    return options | {
        "flow_run_name": "{x}", "crash_retries": 1, "crash_retry_delay_seconds": 5,
        "validate_parameters": False, "on_cancellation": [hook], "on_crashed": [hook],
    }  # fmt: skip


def told(thing: Any, option: str) -> Any:
    return getattr(thing, f"{option}_hooks" if option.startswith("on_") else option)


@pytest.mark.parametrize("kind", [flow, task])
def test_with_options_changes_each_option_and_keeps_the_rest(kind: Any) -> None:
    for option, value in all_options(kind).items():
        plain = kind(lambda: None, name="plain")
        changed = plain.with_options(**{option: value})
        again = changed.with_options()
        assert told(changed, option) == told(again, option) == value, option
        assert told(plain, option) != value, option


@pytest.mark.parametrize("kind", [flow, task])
def test_with_options_refuses_what_is_no_option(kind: Any) -> None:
    with pytest.raises(TypeError, match="There is no option retires"):
        kind(lambda: None).with_options(retires=3)
