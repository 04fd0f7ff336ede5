"""Logs of runs."""

import logging

import pytest

from flows import flow, get_run_logger, task
from flows.sdk.context import MissingContextError
from flows.sdk.memory import MemoryRecorder


def messages(recorder: MemoryRecorder, logger: str = "flows.flow_runs") -> list[str]:
    return [line.message for line in recorder.logs if line.logger == logger]


def test_lines_of_a_flow_belong_to_its_run(recorder: MemoryRecorder) -> None:
    @flow
    def work() -> None:
        get_run_logger().warning("%d rows are missing", 3)

    work()
    line = recorder.logs[0]
    assert (line.message, line.level, line.logger) == (
        "3 rows are missing",
        logging.WARNING,
        "flows.flow_runs",
    )
    assert (line.flow_run_id, line.task_run_id) == (recorder.flow_runs[0].id, None)


def test_lines_of_a_task_belong_to_its_run(recorder: MemoryRecorder) -> None:
    @task
    def load() -> None:
        get_run_logger().info("loading")

    flow(lambda: load.submit().wait(), name="work")()
    line = recorder.logs[0]
    assert (line.message, line.logger) == ("loading", "flows.task_runs")
    assert line.task_run_id == recorder.task_events[0].task_run_id
    assert line.flow_run_id == recorder.flow_runs[0].id


def test_the_end_of_a_flow_is_logged(recorder: MemoryRecorder) -> None:
    flow(lambda: None, name="work")()
    assert messages(recorder) == ["Finished in state Completed()"]


def test_a_failed_task_logs_its_traceback_in_one_line(recorder: MemoryRecorder) -> None:
    @task
    def broken() -> None:
        raise ValueError("no such file")

    flow(lambda: broken.submit(), name="work")(return_state=True)
    [line] = [line for line in recorder.logs if line.logger == "flows.task_runs"]
    assert line.level == logging.ERROR
    assert "ValueError('no such file')" in line.message
    assert 'in broken\n    raise ValueError("no such file")' in line.message
    assert "flows/sdk" not in line.message


def test_log_prints_turns_prints_into_lines(
    recorder: MemoryRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow(log_prints=True)
    def work() -> None:
        print("rows:", 3, sep=" = ")

    work()
    assert messages(recorder)[0] == "rows: = 3"
    assert "rows" not in capsys.readouterr().out


def test_tasks_inherit_log_prints_and_may_refuse(recorder: MemoryRecorder) -> None:
    @task
    def inherits() -> None:
        print("logged")

    @task(log_prints=False)
    def refuses() -> None:
        print("shown")

    flow(lambda: (inherits(), refuses()), name="work", log_prints=True)()
    assert messages(recorder, "flows.task_runs") == ["logged"]


def test_without_log_prints_a_print_is_a_print(
    recorder: MemoryRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    flow(lambda: print("hello"), name="work")()
    assert capsys.readouterr().out == "hello\n"
    assert "hello" not in messages(recorder)


def test_prints_to_a_file_are_not_logged(
    recorder: MemoryRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    flow(lambda: print("trouble", file=sys.stderr), name="work", log_prints=True)()
    assert capsys.readouterr().err == "trouble\n"
    assert "trouble" not in messages(recorder)


def test_there_is_no_run_logger_outside_runs() -> None:
    with pytest.raises(MissingContextError, match="Call get_run_logger"):
        get_run_logger()


def test_a_flow_called_in_a_script_shows_its_lines_on_stderr() -> None:
    import subprocess
    import sys

    script = (
        "from flows import flow, get_run_logger\nflow(lambda: get_run_logger().info('hi'), name='work')()"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == ""
    first, last = shown.stderr.splitlines()
    assert first.endswith("' - hi") and "INFO" in first
    assert last.endswith("' - Finished in state Completed()")
