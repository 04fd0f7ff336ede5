"""A real Chromium before a real server."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.processes import PATIENCE, RunningStack, answers, free_port, wait_until

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "correct horse"
expect.set_options(timeout=PATIENCE * 1000)  # otherwise five seconds
COLLECT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


@dataclass
class Screen:
    """A browser page on the server, and everything that went wrong in it."""

    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def log_in(self, name: str = "admin") -> None:
        self.open("/admin/login/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("[type=submit]")
        self.page.wait_for_url(f"{self.url}/admin/")


@pytest.fixture
def server(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of `manage.py serve`, with a superuser `admin` to log in as."""
    # Playwright keeps an event loop in this thread, which Django takes for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    get_user_model().objects.create_superuser("admin", password=PASSWORD)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stack.start("serve", "--port", str(port), env={"PORTAL_URL": url})
    wait_until(lambda: answers(port), what="the server answers")
    return url


@pytest.fixture
def browser(server: str) -> Iterator[Browser]:
    """One for each test: its event loop would be in the way of the tests that have their own."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE * 1000
        )
        yield launched
        connections.close_all()  # Django keeps other connections while an event loop runs
        launched.close()


@pytest.fixture
def screen(server: str, browser: Browser) -> Iterator[Screen]:
    """A window of 1440 by 900. Fails the test if a page broke its policy or threw an error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(COLLECT_VIOLATIONS)
    shown = Screen(context.new_page(), server)
    shown.page.on("pageerror", lambda error: shown.troubles.append(str(error)))
    shown.page.on(
        "console", lambda message: shown.troubles.append(message.text) if message.type == "error" else None
    )
    yield shown
    context.close()
    assert shown.troubles == []
