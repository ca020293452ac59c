"""A Chromium to look at the playground with, and servers that run beside it in another thread."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page

# What the console tells of an answer with an error status, and of a WebSocket refused with a 401: several tests
# want that.
_EXPECTED = ("Failed to load resource", "HTTP Authentication failed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file, closed before other tests run: Playwright keeps an event loop in this thread."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs the extra `browser`")
    with driver.sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        path = path or playwright.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip("needs a Chromium: the system's, or `playwright install chromium`")
        # Its sandbox does not work for root, as which containers run.
        chromium = playwright.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new page. In the end nothing must have been complained of, and no other host asked for anything."""
    context = browser.new_context(viewport={"width": 1000, "height": 720})
    context.set_default_timeout(10_000)
    complaints: list[str] = []
    hosts: set[str] = set()

    def heard(message: ConsoleMessage) -> None:
        if not any(text in message.text for text in _EXPECTED):
            complaints.append(f"{message.type}: {message.text}")

    def asked(request: Any) -> None:
        if not request.url.startswith("data:"):
            hosts.add(urlsplit(request.url).netloc)

    opened = context.new_page()
    opened.on("console", heard)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", asked)
    yield opened
    context.close()
    assert complaints == []
    assert len(hosts) <= 1
