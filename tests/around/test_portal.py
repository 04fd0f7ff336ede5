"""Which Portal flow code reaches."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from flows.models import Workspace
from flows.sdk import backend, portal
from flows.sdk.client import NoAnswer, PortalApiError
from flows.sdk.memory_backend import memory_backend
from flows.sdk.steps import drive


def in_a_fork(question: Callable[[], bool]) -> bool:
    """The answer of a child process."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if question() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_API_URL", "http://127.0.0.1:9/api")

    assert isinstance(portal.reached(), portal.RemotePortal)


def test_a_forked_process_opens_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_API_URL", "http://127.0.0.1:9/api")
    ours = portal.reached()

    assert in_a_fork(lambda: portal.reached() is not ours)
    assert portal.reached() is ours


@pytest.mark.django_db
def test_an_agent_reaches_its_own_process_even_if_the_environment_names_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_API_URL", "http://127.0.0.1:9/api")
    caller = portal.Caller(Workspace.objects.get(name="default").id, "calm-otter")
    memory = memory_backend()
    backend.use(lambda: replace(memory, portal=portal.PortalHere(caller)))

    reached = portal.reached()

    assert isinstance(reached, portal.PortalHere)
    assert reached.get("variables/")["results"] == []
    assert in_a_fork(
        lambda: isinstance(portal.reached(), portal.PortalHere) and portal.reached() is not reached
    )


class Flaky:
    """Is away for a while."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_server_that_restarts_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "FIRST_DELAY", 0.001)

    assert drive(portal.ask(Flaky(NoAnswer("refused"), PortalApiError(503, "starting")))) == "answer"


def test_a_refusal_is_not_asked_again() -> None:
    flaky = Flaky(PortalApiError(422, "no"), PortalApiError(422, "never reached"))

    with pytest.raises(PortalApiError, match="no"):
        drive(portal.ask(flaky))
    assert len(flaky.errors) == 1


def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "PATIENCE", 0)

    with pytest.raises(NoAnswer):
        drive(portal.ask(Flaky(*[NoAnswer("refused")] * 9)))
