"""Questions that PostgreSQL gives up on: whoever asks is told, and does not ask the same again and again."""

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.test import Client

from flows.scoping import ScopedQuerySet
from portal.settings import _database
from runs.models import FlowRun
from runs.session import conninfo_of_django
from tests.factories import make_run
from tests.portal.fixtures import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def overlong(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions about runs are cancelled, as when their time is over."""
    make_run()
    of_workspaces = ScopedQuerySet._of_workspaces
    cancelled = "CASE WHEN pg_cancel_backend(pg_backend_pid()) THEN pg_sleep(60) IS NULL END"

    def slow(rows: Any, actor: Any) -> Any:
        found = of_workspaces(rows, actor)
        return found.extra(where=[cancelled]) if rows.model is FlowRun else found

    monkeypatch.setattr(ScopedQuerySet, "_of_workspaces", slow)


@pytest.mark.parametrize("path", ["filter", "count", ""])
def test_the_api_says_how_to_ask_for_less(overlong: None, viewer: Caller, path: str) -> None:
    ask = viewer.post if path else viewer.get

    answer = ask(f"/api/flow_runs/{path}")

    assert answer.status_code == 422, "clients repeat what is answered by 503"
    assert answer.json()["detail"].startswith("This question took longer than 15 s. Narrow it:")


def test_a_change_that_takes_too_long_may_be_tried_again(overlong: None, operator: Caller) -> None:
    answer = operator.post(f"/api/flow_runs/{FlowRun.objects.get().id}/cancel")

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")


@pytest.mark.django_db(transaction=True)
def test_a_page_says_it_too(overlong: None, client: Client, admin_user: Any) -> None:
    client.force_login(admin_user)

    answer = client.get("/admin/runs/flowrun/?q=etl")

    assert answer.status_code == 503
    assert b"This question took longer than 15 s" in answer.content
    assert b"Without filters" in answer.content


@pytest.mark.django_db(transaction=True)
def test_a_page_that_changes_something_does_not_speak_of_filters(
    overlong: None, client: Client, admin_user: Any
) -> None:
    client.force_login(admin_user)

    answer = client.post(f"/admin/runs/flowrun/{FlowRun.objects.get().id}/cancel")

    assert answer.status_code == 503
    assert b"This change took longer than 15 s" in answer.content
    assert b"ilter" not in answer.content


def test_connections_of_servers_have_the_time_limit_and_those_of_agents_have_not() -> None:
    def limit_of(options: str) -> str:
        with psycopg.connect(**{**conninfo_of_django(), "options": options}) as connection:
            [found] = connection.execute("SHOW statement_timeout").fetchone() or [""]
        return str(found)

    def options(pooled: bool) -> str:
        return str(_database("postgresql:///x", pooled, pooled)["OPTIONS"].get("options", ""))

    assert settings.PORTAL_STATEMENT_SECONDS == 15
    assert limit_of(options(pooled=True)) == "15s"
    assert limit_of(options(pooled=False)) == "0"
