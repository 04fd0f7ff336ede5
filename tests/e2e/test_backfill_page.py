"""A backfill in a real browser: planned, made, and followed to its end; and a failed run retried."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from runs.models import FlowRun
from tests.e2e.conftest import Screen
from tests.e2e.test_run_page import expect_state, path_of
from tests.faults.conftest import Stage
from tests.processes import RunningStack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SCHEMA = {
    "type": "object",
    "properties": {"folder": {"type": "string", "position": 0}},
    "required": ["folder"],
}


def test_a_backfill_is_planned_made_and_followed(screen: Screen, stack: RunningStack) -> None:
    stage = Stage(stack)
    deployment = stage.deployment("count")
    type(deployment).objects.update(parameters={"folder": str(stage.folder)}, parameter_openapi_schema=SCHEMA)
    deployment.schedules.create(cron="@daily")
    stage.agent()
    screen.log_in()

    page = screen.open(f"/admin/flows/deployment/{deployment.id}/change/")
    page.get_by_role("link", name="Backfill", exact=True).click()
    page.fill("[name=start]", "2026-03-01")
    page.fill("[name=end]", "2026-03-06")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#backfill-plan h2")).to_have_text("6 runs")
    expect(page.locator("#backfill-plan tr")).to_have_count(6)
    page.get_by_role("button", name="Make 6 runs").click()

    expect(page.locator(".cells rect")).to_have_count(6)
    expect(page.locator(".cells rect.state-completed")).to_have_count(6)
    expect(page.locator(".page-head .lamp")).to_have_text("completed")
    slots = FlowRun.objects.order_by("slot").values_list("slot", flat=True)
    assert list(slots) == [datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 7)]
    page.locator(".cells a").first.click()
    expect(page.locator("#run-facts")).to_contain_text("2026-03-01 00:00 to 2026-03-06 00:00")


def test_a_failed_run_is_retried_from_a_task(screen: Screen, stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    run = stage.create("lands")
    screen.log_in()
    page = screen.open(path_of(run))
    expect_state(page, "Failed")
    stage.go()

    page.get_by_text("Retry from…").click()
    page.get_by_role("button", name="ballast").click()

    expect_state(page, "Completed")
    page.click(".run-tab[data-panel=history]")
    expect(page.locator("#run-history")).to_contain_text("Retried by admin.")
    assert (stage.folder / "steps").read_text().split() == ["1", "600000", "600000", "2"]
