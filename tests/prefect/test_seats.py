"""A token may have so many sockets at a server, and no more."""

from websockets.exceptions import ConnectionClosed

from tests.prefect.serving import Serving, token_of
from tests.processes import RunningStack, answers, free_port, wait_until


def test_one_socket_too_many_is_told_to_come_later(stack: RunningStack) -> None:
    port = free_port()
    child = stack.start("serve", "--port", str(port), env={"PORTAL_SOCKETS_AT_ONCE": "1"})
    serving = Serving(port, child, token_of("operator"))
    wait_until(lambda: answers(port), what="the server answers")

    with serving.socket("events/in") as first:
        code, reason = serving.socket("events/in").closed()
        assert (code, reason) == (1013, "1 sockets are open for you already: close some of them.")
        first.settle()

    def has_a_place() -> bool:
        try:
            with serving.socket("events/in"):
                return True
        except ConnectionClosed:
            return False

    wait_until(has_a_place, what="the first one has given its place back")
