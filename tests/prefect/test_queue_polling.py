"""What a Prefect server answered to workers that poll its queues, and what Portal answers."""

from typing import Any

import pytest

from tests.portal.fixtures import Caller
from tests.prefect.replay import Replay, exchanges

pytestmark = pytest.mark.django_db


def runs_in(answer: Any) -> list[str]:
    return [each.get("flow_run", each)["id"] for each in answer]


def test_the_answers_are_the_same(editor: Caller) -> None:
    replay, different = Replay(editor), []
    for number, exchange in enumerate(exchanges("queue_polling")):
        response = replay.send(exchange)
        expected: dict[str, Any] = {"status": exchange["status"], **exchange.get("shown", {})}
        got: dict[str, Any] = {"status": response.status_code}
        if "shown" in exchange:
            got |= {name: response.json().get(name) for name in exchange["shown"]}
        if "runs" in exchange:
            expected["runs"] = [replay.ids[each] for each in exchange["runs"]]
            found = runs_in(response.json())
            got["runs"] = found[: len(exchange["runs"])] if exchange.get("trimmed") else found
        if got != expected:
            different.append((number, exchange["path"], exchange.get("req"), expected, got))

    assert different == []
