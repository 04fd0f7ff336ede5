"""Where isolated runs reach the API."""

import urllib.error
import urllib.request

import pytest

from tests.processes import RunningStack, answers, free_port, wait_until

pytestmark = pytest.mark.processes


def answer(port: int, host: str) -> int:
    """The status that a server gives to a request for this host."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/api/health", headers={"Host": host})
    try:
        return int(urllib.request.urlopen(asked, timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_answers_to_the_name_by_which_agents_know_it(stack: RunningStack) -> None:
    port = free_port()
    known = {"PORTAL_AGENT_API_URL": f"http://inner.example:{port}/api"}
    stack.start("serve", "--port", str(port), env=known)
    wait_until(lambda: answers(port), what="the server answers")

    assert answer(port, f"inner.example:{port}") == 200
    assert answer(port, f"stranger.example:{port}") == 400
