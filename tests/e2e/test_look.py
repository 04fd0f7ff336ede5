"""What somebody on call must be able to read and reach, on a wide screen and on a phone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from runs.backfills.plan import plan
from runs.backfills.steer import create_backfill
from runs.backfills.wish import Wish
from runs.models import Backfill
from tests.e2e.conftest import Screen
from tests.factories import make_deployment, make_queue, make_run

pytestmark = [pytest.mark.browser, pytest.mark.processes]
PATIENCE = 60_000  # ms
LONG = "n" * 100
PHONE = {"width": 390, "height": 844}


def is_wider_than_the_screen(page: Page) -> bool:
    wider: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth + 1")
    return wider


def test_long_names_push_nothing_off_the_dashboard(screen: Screen) -> None:
    make_run(make_deployment(name=LONG, flow=LONG, queue=make_queue(LONG, LONG)))
    screen.log_in()

    for size in ({"width": 1440, "height": 900}, PHONE):
        screen.page.set_viewport_size(size)
        page = screen.open("/admin/")
        card = page.locator(".card", has=page.get_by_role("heading", name="Deployments", exact=True))
        name = card.locator(f"[title='{LONG}/{LONG}']")
        expect(name).to_be_visible()
        button, around = card.get_by_role("link", name="Run", exact=True).bounding_box(), card.bounding_box()
        assert button is not None
        assert around is not None
        if size is not PHONE:  # there the card is scrolled
            assert button["x"] + button["width"] <= around["x"] + around["width"]
        assert not is_wider_than_the_screen(page)


def test_pages_fit_a_phone(screen: Screen) -> None:
    deployment = make_deployment(name=LONG, queue=make_queue("fast", LONG))
    schedule = deployment.schedules.create(cron="@daily")
    pool = deployment.work_queue.work_pool
    screen.log_in()
    screen.page.set_viewport_size(PHONE)

    for path in (
        "/admin/", "/admin/runs/flowrun/", "/admin/agents/workpool/",
        f"/admin/agents/workpool/{pool.pk}/change/",
        f"/admin/flows/deployment/{deployment.pk}/change/", f"/admin/flows/deployment/{deployment.pk}/run/",
        f"/admin/flows/schedule/{schedule.pk}/change/", "/admin/flows/schedule/add/",
    ):  # fmt: skip
        page = screen.open(path)
        assert not is_wider_than_the_screen(page), path
        expect(page.locator("h1")).to_have_count(1)
        search = page.locator("#searchbar")
        box = search.bounding_box() if search.count() else None
        assert box is None or box["width"] > 150, path


def test_cancelling_a_backfill_asks_first(screen: Screen) -> None:
    deployment = make_deployment()
    deployment.schedules.create(cron="@daily")
    first = datetime(2026, 3, 1, tzinfo=UTC)
    backfill = create_backfill(
        plan(Wish(deployment, start=first, end=first + timedelta(days=4)), timezone.now()), {}
    )
    screen.log_in()
    page = screen.open(f"/admin/runs/backfill/{backfill.pk}/")
    dialog = page.get_by_role("dialog", name="Cancel this backfill?")

    page.get_by_role("button", name="Cancel…").click()
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    assert Backfill.objects.get().state == "ACTIVE"

    page.get_by_role("button", name="Cancel…").click()
    dialog.get_by_role("button", name="Cancel the backfill").click()
    expect(page.locator(".page-head .lamp")).to_have_text("cancelled", timeout=PATIENCE)
