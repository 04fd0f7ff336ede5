"""The names of Prefect's async code, and the small helpers beside them."""

import asyncio
import logging
from typing import Any

import pytest

from flows import apause_flow_run, aresume_flow_run, flow, task
from flows import artifacts as made
from flows.blocks.core import Block
from flows.context import FlowRunContext, TaskRunContext, get_run_context
from flows.exceptions import CancelledRun, CrashedRun, MappingLengthMismatch, MappingMissingIterable
from flows.flows import load_flow_from_entrypoint
from flows.futures import resolve_futures_to_results
from flows.logging import disable_run_logger, get_run_logger
from flows.sdk.backend import backed_by
from flows.sdk.memory import MemoryRecorder
from flows.sdk.memory_backend import memory_backend
from flows.serializers import CompressedJSONSerializer, CompressedPickleSerializer
from flows.states import (
    AwaitingConcurrencySlot,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    aget_state_exception,
    get_state_exception,
    raise_state_exception,
)


class Login(Block):
    """To a database.

    And more.
    """

    user: str
    checked: bool = False

    def block_initialization(self) -> None:
        self.checked = True


def test_artifacts_are_made_by_coroutines_also_in_sync_code(recorder: MemoryRecorder) -> None:
    @flow
    async def work() -> None:
        await made.acreate_table_artifact([{"a": 1}])
        await made.acreate_markdown_artifact("text")
        await made.acreate_link_artifact("https://portal.example", "Portal")
        await made.acreate_image_artifact("https://portal.example/a.png")
        progress = await made.acreate_progress_artifact(10)
        await made.aupdate_progress_artifact(progress, 20)

    asyncio.run(work())

    types = [artifact.type for artifact in recorder.artifacts]
    assert types == ["table", "markdown", "markdown", "image", "progress", "progress"]
    assert recorder.artifacts[2].data == "[Portal](<https://portal.example>)"
    assert [artifact.data for artifact in list(recorder.artifacts)[4:]] == [10.0, 20.0]


def test_blocks_are_saved_loaded_and_deleted_by_coroutines() -> None:
    async def work() -> Any:
        await Login(user="ada").asave("main")
        found = await Login.aload("main")
        await Login.adelete("main")
        with pytest.raises(ValueError, match="no block login/main"):
            await Login.aload("main")
        return found

    with backed_by(memory_backend()):
        found = asyncio.run(work())
    assert (found.user, found.checked) == ("ada", True)
    assert (Login.get_block_type_name(), Login.get_description()) == ("Login", "To a database.")


def test_a_block_that_does_not_fit_any_more_may_be_loaded_unchecked() -> None:
    backend = memory_backend()
    backend.blocks.save("login", "old", {"name": "ada"}, overwrite=False)
    with backed_by(backend):
        assert not hasattr(Login.load("old", validate=False), "user")


def test_a_run_is_paused_and_resumed_by_coroutines(recorder: MemoryRecorder) -> None:
    @flow
    async def work() -> str:
        context = FlowRunContext.get()
        assert context is not None
        pausing = asyncio.create_task(apause_flow_run(timeout=10))
        while "Paused" not in recorder.states_of("work"):
            await asyncio.sleep(0.005)
        await aresume_flow_run(context.run.id)
        await pausing
        return "resumed"

    assert asyncio.run(work()) == "resumed"


def test_the_context_is_that_of_the_task_or_of_the_flow(recorder: MemoryRecorder) -> None:
    @task
    def inner() -> str:
        context = get_run_context()
        assert isinstance(context, TaskRunContext) and TaskRunContext.get() is context
        return context.name

    @flow
    def work() -> tuple[str, str]:
        context = get_run_context()
        assert isinstance(context, FlowRunContext)
        get_run_logger(context).info("by its context")
        return context.flow_run.flow_name, inner()

    assert work() == ("work", "inner-0")
    assert "by its context" in [line.message for line in recorder.logs]


def test_a_bare_function_may_log_in_a_test(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def noisy() -> int:
        get_run_logger().error("to nobody")
        return 1

    with caplog.at_level(logging.DEBUG), disable_run_logger():
        assert noisy.fn() == 1
    assert caplog.text == ""


def test_states_tell_their_exceptions() -> None:
    error = ValueError("bad")

    assert get_state_exception(Failed(data=error)) is error
    assert asyncio.run(aget_state_exception(Failed(data=error))) is error
    assert asyncio.run(Completed(data=3).aresult()) == 3
    assert raise_state_exception(Completed()) is None
    with pytest.raises(CancelledRun):
        raise_state_exception(Cancelled())
    with pytest.raises(CrashedRun):
        Crashed().result()
    assert Cancelling().is_cancelling() and Completed().is_final()
    assert Completed(message="a").fresh_copy(message="b").message == "b"
    assert AwaitingConcurrencySlot().is_scheduled()


def test_map_says_what_is_wrong_by_type() -> None:
    one = task(lambda left, right=0: left, name="one")
    with pytest.raises(MappingLengthMismatch):
        flow(lambda: one.map([1, 2], [1]), name="work")()
    with pytest.raises(MappingMissingIterable):
        flow(lambda: one.map(1), name="work")()


def test_futures_in_collections_are_resolved(recorder: MemoryRecorder) -> None:
    one = task(lambda: 1, name="one")
    work = flow(lambda: resolve_futures_to_results({"a": [one.submit(), 2]}), name="work")
    assert work() == {"a": [1, 2]}


def test_compressed_serializers_by_name() -> None:
    for serializer in (CompressedJSONSerializer(), CompressedPickleSerializer()):
        assert serializer.loads(serializer.dumps([1, 2])) == [1, 2]


def test_a_flow_is_loaded_by_its_entrypoint() -> None:
    assert load_flow_from_entrypoint("tests/around/flow_file.py:double").name == "double"
