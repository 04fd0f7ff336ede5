"""What cannot be handed in, served or sent to agents says so."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from flows import flow, task
from flows.sdk.backend import backed_by
from flows.sdk.background import background_key
from flows.sdk.memory_backend import memory_backend
from flows.sdk.portal import NoPortalError
from flows.task_runners import AgentsTaskRunner
from flows.task_worker import TaskWorker, serve
from tests.background import tasks


class Nowhere:
    """A Portal that must not be asked."""

    def get(self, path: str, **query: Any) -> Any:
        raise AssertionError(path)

    post: Callable[..., Any] = get


@pytest.fixture
def nowhere() -> Iterator[None]:
    with backed_by(replace(memory_backend(), portal=Nowhere())):
        yield


@task
def alike(value: object) -> object:
    return value


def test_delay_needs_a_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.sdk.backend._portal_here", None)
    monkeypatch.setattr("flows.sdk.backend._made", None)
    with pytest.raises(NoPortalError, match=r"alike\.delay needs a Portal: set PORTAL_API_URL"):
        alike.delay(1)


def test_arguments_must_fit(nowhere: None) -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        alike.delay()


def test_arguments_must_be_such_as_can_be_packed(nowhere: None, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(TypeError, match="cannot be sent"):
        alike.delay(file)


def test_arguments_must_not_be_too_large(nowhere: None) -> None:
    with pytest.raises(TypeError, match=r"is 3\.0 MiB, and at most 2 MiB can be sent"):
        alike.delay(b"x" * 3 * 2**20)


def test_what_is_served_must_be_tasks() -> None:
    with pytest.raises(ValueError, match="Say which tasks to serve"):
        serve()
    with pytest.raises(TypeError, match="Only tasks can be served"):
        serve(cast(Any, len))
    with pytest.raises(ValueError, match="limit must be at least 1"):
        TaskWorker(alike, limit=0)


def test_tasks_are_found_by_the_name_that_they_are_imported_by() -> None:
    assert background_key(tasks.add) == "tests.background.tasks.add"
    assert background_key(tasks.add.with_options(name="sum")) == "tests.background.tasks.add[sum]"


def test_agents_are_not_waited_for_where_there_are_none(caplog: pytest.LogCaptureFixture) -> None:
    @flow(task_runner=AgentsTaskRunner())
    def here() -> list[object]:
        return alike.map([1, 2]).result()

    with caplog.at_level(logging.WARNING):
        assert here() == [1, 2]


def test_local_after_is_a_span() -> None:
    with pytest.raises(ValueError, match="local_after must be 0 or more seconds, or None"):
        AgentsTaskRunner(local_after=-1)
