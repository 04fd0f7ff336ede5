"""What a Prefect server answered to 127 requests about flow runs, and what Portal answers."""

import time
from typing import Any

import pytest

from tests.portal.fixtures import Caller
from tests.prefect.replay import Replay, exchanges

pytestmark = pytest.mark.django_db


# Portal cancels a run that finds no slot as soon as it is made, not when somebody comes to take it.
CANCELLED_EARLIER = "adc604bc-453e-4f92-b47d-bcdc6ab293ae"


def answered(response: Any, exchange: dict[str, Any]) -> dict[str, Any]:
    """What counts of an answer."""
    body = response.json()
    if "result" not in exchange:
        return {}
    if "details" not in body:
        return {name: body.get(name) for name in exchange.get("result", {})}
    state = body["state"] or {}
    return {"details": body["details"]["type"], "type": state.get("type"), "name": state.get("name")}


def sent_in_time(replay: Replay, exchange: dict[str, Any]) -> Any:
    """The response; as the client does it, a request that came too early is sent again."""
    while True:
        response = replay.send(exchange)
        body = response.json()
        if not isinstance(body, dict):
            return response
        too_early = body.get("status") == "WAIT" and exchange["result"]["details"] != "wait_details"
        if not too_early:
            return response
        assert body["details"]["delay_seconds"] <= 2
        time.sleep(body["details"]["delay_seconds"])


def test_the_answers_are_the_same(editor: Caller) -> None:
    replay = Replay(editor)
    different = []
    for number, exchange in enumerate(exchanges("set_state_rules")):
        response = sent_in_time(replay, exchange)
        got = response.status_code, answered(response, exchange)
        expected = exchange["status"], exchange.get("result", {})
        if got != expected and CANCELLED_EARLIER not in exchange["path"]:
            different.append((number, exchange["path"], exchange["req"], expected, got, response.json()))

    assert not different, "\n".join(map(str, different))
