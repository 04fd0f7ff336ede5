"""The run page in a real browser, over a real server, with a real agent, under the enforced policy."""

import re
import signal
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from flows.sdk.ids import uuid7
from portal.demo import deploy_demo
from runs.create import create_flow_run
from runs.models import FlowRun, Log
from tests.e2e.conftest import Screen
from tests.factories import make_run
from tests.processes import RunningStack

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def path_of(run: FlowRun) -> str:
    return f"/admin/runs/flowrun/{run.id}/"


def expect_state(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.locator("#run-header .badge")).to_contain_text(name)


def expect_live(page: Page, status: str) -> None:
    expect(page.locator("html")).to_have_attribute("data-live", status)


def demo_run(**parameters: object) -> FlowRun:
    return create_flow_run(deploy_demo(), parameters={"pace": 0.4, **parameters})


def test_a_run_is_watched_from_scheduled_to_completed_without_reload(
    screen: Screen, stack: RunningStack
) -> None:
    run = demo_run()
    screen.log_in()
    page = screen.open(path_of(run))
    page.evaluate("window.sameDocument = true")

    expect_state(page, "Scheduled")
    expect(page.locator(".run-why").first).to_contain_text("No agent serves queue 'default'")
    expect(page.locator("#run-no-tasks")).to_be_visible()

    stack.start("rqworker", "default")
    expect_state(page, re.compile("Running|Completed"))  # a busy browser may see the end alone
    expect(page.locator(".run-why")).to_have_count(0)

    expect_state(page, "Completed")
    expect(page.locator("#run-counts")).to_have_text("14 tasks: 14 completed")
    expect(page.locator("#run-log-rows")).to_contain_text("Read 1461 days of 4 years")
    expect(page.locator(".run-steps")).to_contain_text("claimed")
    page.click(".run-tab[data-panel=artifacts]")
    expect(page.locator("#run-artifacts")).to_contain_text("2015-07-19")
    assert page.evaluate("window.sameDocument") is True


def test_a_running_run_is_cancelled_with_the_button(screen: Screen, stack: RunningStack) -> None:
    stack.start("rqworker", "default").wait_for(" serves ")
    run = demo_run(pace=30)
    screen.log_in()
    page = screen.open(path_of(run))
    expect_state(page, "Running")

    page.click("text=Cancel")

    expect_state(page, "Cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_the_page_comes_back_when_the_server_does(screen: Screen, stack: RunningStack) -> None:
    run = make_run(name="spry-anteater")
    screen.log_in()
    page = screen.open(path_of(run))
    expect_live(page, "live")
    server = stack._children[0]
    port = screen.url.rpartition(":")[2]

    server.signal(signal.SIGKILL)
    expect_live(page, "reconnecting")
    FlowRun.objects.filter(id=run.id).update(name="renamed-anteater", version=2)
    stack.start("serve", "--port", port, env={"PORTAL_URL": screen.url})

    expect(page.locator("#run-header h1")).to_have_text("renamed-anteater")
    expect_live(page, "live")
    screen.troubles[:] = [each for each in screen.troubles if not re.search("ERR_CONNECTION|WebSocket", each)]


def test_logs_are_filtered(screen: Screen, stack: RunningStack) -> None:
    stack.start("rqworker", "default").wait_for(" serves ")
    run = demo_run(pace=0)
    screen.log_in()
    page = screen.open(path_of(run))
    expect_state(page, "Completed")
    expect(page.locator("#run-log-count")).to_have_text("7 lines")

    page.select_option("#run-log-level", "40")
    expect(page.locator("#run-log-count")).to_have_text("1 of 7 lines")
    page.select_option("#run-log-level", "0")
    page.fill("#run-log-task", "extract-2013")
    expect(page.locator(".log-text")).to_have_text(["2013 has 365 days"])
    with page.expect_download() as download:
        page.click("text=download")
    assert "2015 has 365 days" in download.value.path().read_text()


def test_a_long_log_is_read_back_and_searched(screen: Screen) -> None:
    run = make_run()
    Log.objects.bulk_create(
        Log(
            id=uuid7(),
            timestamp=run.created + timedelta(milliseconds=number),
            flow_run=run,
            level=20,
            name="flows",
            message=f"needle {number}" if number % 1000 == 5 else f"line {number}",
        )
        for number in range(6_000)
    )
    screen.log_in()
    page = screen.open(path_of(run))
    count, box = page.locator("#run-log-count"), page.locator("#run-log-box")
    expect(count).to_have_text("newest 2,000 lines")

    page.fill("#run-log-text", "NEEDLE")
    expect(count).to_have_text("6 found in the whole log")
    expect(page.locator(".log-text").first).to_have_text("needle 5")
    page.fill("#run-log-text", "")
    expect(count).to_have_text("newest 2,000 lines")

    page.click("#run-log-older")
    expect(count).to_have_text("newest 4,000 lines")
    box.hover()
    page.mouse.wheel(0, -1_000_000)
    expect(count).to_have_text("6,000 lines")
    expect(page.locator("#run-log-older")).to_be_hidden()
    assert "line 1999" in page.locator("#run-log-rows").inner_text(), "what was read stays where it was"


def test_the_page_is_light(screen: Screen) -> None:
    run = make_run()
    screen.log_in()

    page = screen.open(path_of(run))
    expect_live(page, "live")
    expect(page.locator("#run-log-count")).to_have_text("0 lines")
    loaded = page.evaluate(
        """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
           .map((entry) => [entry.name, entry.decodedBodySize])"""
    )

    assert len(loaded) <= 15, loaded
    assert sum(size for _, size in loaded) <= 150_000, loaded
