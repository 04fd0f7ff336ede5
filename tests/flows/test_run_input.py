"""Values that runs send to each other, in memory."""

import asyncio
from uuid import uuid4

import pytest

from flows import flow
from flows.exceptions import MissingContextError
from flows.input import RunInput, receive_input, send_input
from flows.sdk.context import current_flow
from flows.sdk.questions import Question


class Order(RunInput):
    article: str
    amount: int = 1


def test_values_come_in_order_and_once() -> None:
    run_id = uuid4()
    send_input("a", run_id)
    send_input("b", run_id)

    assert list(receive_input(str, timeout=0, flow_run_id=run_id)) == ["a", "b"]


def test_types_do_not_mix() -> None:
    run_id = uuid4()
    send_input(1, run_id)
    Order(article="pen").send_to(run_id)

    assert list(receive_input(int, timeout=0, flow_run_id=run_id)) == [1]
    [order] = Order.receive(timeout=0, flow_run_id=run_id)
    assert (order.article, order.metadata.receiver) == ("pen", run_id)


def test_nothing_comes() -> None:
    waiting = receive_input(str, timeout=0, flow_run_id=uuid4(), raise_timeout_error=True)

    with pytest.raises(TimeoutError, match="Nothing was sent"):
        next(waiting)


def test_keys_and_prefixes_choose() -> None:
    run_id = uuid4()
    send_input("left", run_id, key_prefix="mine")
    [left] = receive_input(str, timeout=0, flow_run_id=run_id, key_prefix="mine", with_metadata=True)
    assert left.value == "left"

    again = receive_input(
        str, timeout=0, flow_run_id=run_id, key_prefix="mine", exclude_keys={left.metadata.key}
    )
    assert list(again) == []


def test_a_response_goes_to_the_sender() -> None:
    @flow
    def shop() -> list[str]:
        context = current_flow.get()
        assert context is not None
        Order(article="pen").send_to(context.run.id)
        [order] = Order.receive(timeout=0)
        order.respond("sold")
        return list(receive_input(str, timeout=0))

    assert shop() == ["sold"]


def test_async_flows_iterate_and_await() -> None:
    @flow
    async def shop() -> list[str]:
        context = current_flow.get()
        assert context is not None
        await send_input("a", context.run.id)
        return [word async for word in receive_input(str, timeout=0)]

    assert asyncio.run(shop()) == ["a"]


def test_initial_data_becomes_defaults_and_a_text() -> None:
    question = Question(Order.with_initial_data(description="Check **this**.", article="pen"))

    assert question.schema["properties"]["article"]["default"] == "pen"
    assert question.description == "Check **this**."
    answer = question.parse({})
    assert isinstance(answer, Order)
    assert answer.article == "pen"


def test_a_run_receives_for_itself() -> None:
    with pytest.raises(MissingContextError, match="flow_run_id"):
        receive_input(str)
