"""Every page of the shell in a real browser, under the enforced policy, in both themes."""

import pytest
from playwright.sync_api import Browser, expect

from flows.models import Workspace
from flows.sdk.states import Failed, Pending, Running
from portal.access.tokens import create_token
from portal.demo import deploy_demo
from runs.models import FlowRun
from runs.session import DjangoSession
from runs.transition import transition
from tests.e2e.conftest import PASSWORD, Screen
from tests.factories import make_deployment, make_queue, make_run
from tests.processes import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]
RUNS = "/admin/runs/flowrun/"


def every_page() -> list[str]:
    """The address of each kind of page, with something on it."""
    from django.contrib.auth import get_user_model

    deployment = deploy_demo()
    run = make_run(deployment)
    FlowRun.objects.filter(id=run.id).update(state_type="FAILED", state_name="Failed")
    user, workspace = get_user_model().objects.get(), Workspace.objects.get()
    token, _ = create_token(user, workspace)
    pool = make_queue().work_pool
    things = {
        "flows/deployment": deployment.pk, "flows/flow": deployment.flow_id, "flows/workspace": workspace.pk,
        "agents/workpool": pool.pk, "portal/apitoken": token.pk, "auth/user": user.pk,
    }  # fmt: skip
    changes = [f"/admin/{kind}/{pk}/{page}/" for kind, pk in things.items() for page in ("change", "history")]
    return [
        "/admin/", RUNS, *(f"/admin/{kind}/" for kind in things), *changes, f"{RUNS}{run.pk}/",
        f"{RUNS}{run.pk}/delete/", f"/admin/flows/deployment/{deployment.pk}/run/",
        f"/admin/flows/deployment/{deployment.pk}/delete/", "/admin/agents/agent/",
        "/admin/agents/servicestatus/", "/admin/agents/workpool/add/", "/admin/flows/workspace/add/",
        "/admin/auth/user/add/", "/admin/password_change/", "/admin/flows/",
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_keeps_the_policy(screen: Screen, theme: str) -> None:
    screen.log_in()
    screen.page.evaluate(f"localStorage.setItem('theme', '{theme}')")

    for path in every_page():
        answer = screen.page.goto(screen.url + path)
        assert answer is not None
        assert answer.status == 200, path
        assert "script-src 'self'; style-src 'self';" in answer.headers["content-security-policy"]
        expect(screen.page.locator("html")).to_have_attribute("data-theme", theme)
        expect(screen.page.locator("#top-nav")).to_be_visible()
        assert screen.troubles == [], path


def test_a_wrong_password_is_said_and_logging_out_works(screen: Screen) -> None:
    page = screen.open("/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "wrong")
    page.click("[type=submit]")
    expect(page.locator(".errornote")).to_contain_text("correct username and password")
    expect(page.locator("#top-nav")).to_have_count(0)

    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url(f"{screen.url}/admin/")
    page.click("text=Log out")
    screen.open(RUNS)
    assert "/admin/login/" in page.url


def test_the_list_of_runs_follows_them_without_reload(screen: Screen) -> None:
    run = make_run(make_deployment(), name="spry-anteater")
    screen.log_in()
    page = screen.open(RUNS)
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#live-dot")).to_have_attribute("data-status", "live")
    row = page.locator("#result_list tbody tr", has_text="spry-anteater")
    expect(row.locator(".badge")).to_have_class("badge state-scheduled")

    transition(DjangoSession(), run.id, Pending())
    transition(DjangoSession(), run.id, Running())
    expect(row.locator(".badge")).to_have_text("▶Running")
    transition(DjangoSession(), run.id, Failed(message="boom"))
    expect(row.locator(".badge")).to_have_text("✗Failed")
    expect(row.locator(".field-reason")).to_have_text("boom")

    make_run(run.deployment, name="newer-run")
    expect(page.locator("#result_list tbody tr").first).to_contain_text("newer-run")
    assert page.evaluate("window.sameDocument") is True


def test_the_first_run_appears_in_an_empty_list(screen: Screen) -> None:
    screen.log_in()
    read: list[str] = []
    screen.page.on("requestfinished", lambda request: read.append(request.url))
    page = screen.open(RUNS)
    page.evaluate("window.sameDocument = true")
    # It reads the list once after it has joined.
    wait_until(lambda: page.wait_for_timeout(20) or read.count(screen.url + RUNS) > 1, what="it reads again")
    assert page.evaluate("window.sameDocument") is True

    make_run(name="spry-anteater")

    expect(page.locator("#result_list")).to_contain_text("spry-anteater")


def test_the_dashboard_learns_of_a_failure(screen: Screen) -> None:
    run = make_run(make_deployment(), name="spry-anteater")
    screen.log_in()
    page = screen.page
    expect(page.locator("#dashboard")).to_contain_text("Nothing failed in the last 7 days.")
    expect(page.locator("#live-dot")).to_have_attribute("data-status", "live")

    for state in (Pending(), Running(), Failed(message="boom")):
        transition(DjangoSession(), run.id, state)

    expect(page.locator(".card", has_text="Needs attention")).to_contain_text("boom")


def test_a_deployment_is_run_with_the_button(screen: Screen) -> None:
    deployment = deploy_demo()
    screen.log_in()
    page = screen.open(f"/admin/flows/deployment/{deployment.id}/change/")

    page.click("#run-button")
    page.fill("[name=parameter-pace]", "0.01")
    page.uncheck("[name=parameter-flaky]")
    page.fill("[name=run_name]", "by-hand")
    page.click("#run-form [type=submit]")

    expect(page.locator("h1")).to_have_text("by-hand")
    run = FlowRun.objects.get(name="by-hand")
    assert run.parameters == {"years": [2012, 2013, 2014, 2015], "flaky": False, "pace": 0.01}
    assert page.url.endswith(f"{RUNS}{run.id}/")


def test_a_screen_holds_23_runs(screen: Screen) -> None:
    deployment = make_deployment()
    for _ in range(30):
        make_run(deployment)
    screen.log_in()
    page = screen.open(RUNS)

    bottoms = page.eval_on_selector_all(
        "#result_list tbody tr", "rows => rows.map(row => row.getBoundingClientRect().bottom)"
    )

    assert sum(bottom <= 900 for bottom in bottoms) >= 23


@pytest.mark.parametrize("path", ["/admin/", RUNS])
def test_pages_are_light(screen: Screen, path: str) -> None:
    deployment = make_deployment()
    for _ in range(60):
        make_run(deployment)
    screen.log_in()

    screen.open(path)
    expect(screen.page.locator("#live-dot")).to_have_attribute("data-status", "live")
    loaded = screen.page.evaluate(
        """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
           .map((entry) => [entry.name, entry.decodedBodySize])"""
    )

    assert len(loaded) <= 15, loaded
    assert sum(size for _, size in loaded) <= 150_000, loaded


def test_a_narrow_window_does_not_scroll_sideways(server: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 800})
    Screen(page, server).log_in()

    assert page.evaluate("document.documentElement.scrollWidth") <= 420
