"""A run asks, somebody fills in the form in a real browser, and the waiting process goes on."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Screen
from tests.e2e.test_run_page import expect_state, path_of
from tests.people.conftest import Stage
from tests.processes import RunningStack

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_a_paused_run_is_answered_on_its_page(screen: Screen, stack: RunningStack) -> None:
    stage = Stage(stack)
    stage.agent()
    run = stage.create("release")
    screen.log_in()
    page = screen.open(path_of(run))
    expect_state(page, "Paused")
    expect(page.locator(".run-why")).to_contain_text("paused until somebody answers it")

    page.check("[name=parameter-approved]")
    page.fill("[name=parameter-copies]", "99")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".run-answer")).to_contain_text("less than or equal to 10")
    page.fill("[name=parameter-copies]", "3")
    page.fill("[name=parameter-comment]", "go ahead")
    page.get_by_role("button", name="Resume").click()

    expect_state(page, "Completed")
    expect(page.locator(".run-answer")).to_have_count(0)
    assert stage.done()[-1] == "approved=True copies=3 comment=go ahead"
    page.click(".run-tab[data-panel=history]")
    expect(page.locator("#run-history")).to_contain_text("Resumed by admin.")
