"""The form of a schedule shows what it will do while it is written."""

import re

import pytest
from playwright.sync_api import expect

from flows.models import Schedule
from tests.e2e.conftest import Screen
from tests.factories import make_deployment

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_the_next_20_follow_what_is_typed(screen: Screen) -> None:
    deployment = make_deployment()
    screen.log_in()
    page = screen.open(f"/admin/flows/schedule/add/?deployment={deployment.id}")
    card = page.locator("#preview")

    page.fill("#id_cron", "30 2 * * 8")
    expect(card).to_contain_text("cannot be read")
    page.fill("#id_cron", "30 12 * * *")
    page.fill("#id_timezone", "Europe/Berlin")
    expect(card.locator(".moment")).to_have_count(20)
    expect(card.locator(".moment").first).to_have_text(re.compile(r" 12:30 CES?T$"))
    page.click("[name=_save]")

    page.wait_for_url("**/admin/flows/schedule/")
    assert Schedule.objects.get(deployment=deployment).timezone == "Europe/Berlin"
