"""`manage.py rqworker`, from the outside."""

import pytest

from tests.faults.conftest import Stage
from tests.processes import RunningStack

pytestmark = pytest.mark.processes


@pytest.fixture
def stage(stack: RunningStack) -> Stage:
    return Stage(stack)


def test_burst_does_what_there_is_and_ends(stage: Stage) -> None:
    runs = [stage.create("quick"), stage.create("quick")]
    done = stage.stack.run("rqworker", "default", "--burst", "--name", "one-off")
    assert done.returncode == 0, done.stderr
    assert "Agent one-off serves portal:default:default:default" in done.stderr
    for run in runs:
        run.refresh_from_db()
        assert run.state_type == "COMPLETED"


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["acme/etl/nightly"], {}, "Queue 'acme/etl/nightly': there is no workspace 'acme'."),
        ([], {}, "Name the queues to serve, for example: manage.py rqworker default"),
        (["default"], {"AGENT_DRAIN_SECONDS": "soon"}, "AGENT_DRAIN_SECONDS must be a number from 0 on"),
        (["default"], {"AGENT_PRELOAD": "no_such_module"}, "AGENT_PRELOAD: cannot import 'no_such_module'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    stack: RunningStack, arguments: list[str], environment: dict[str, str], complaint: str
) -> None:
    done = stack.run("rqworker", *arguments, env=environment)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_help_explains_queue_names(stack: RunningStack) -> None:
    assert "acme/etl/nightly" in stack.run("rqworker", "--help").stdout
