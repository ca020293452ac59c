"""The function of docs/reading.md in a browser: it shows the phases, and reports errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.beside import beside
from tests.documents import blocks, sections
from tests.support import open_pair

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support import Client

pytestmark = pytest.mark.browser

(SOURCE,) = blocks(sections("reading.md")["In a browser"], "js")


def ask(page: Page, client: Client, prompt: object) -> Any:
    """What the function shows, as pairs of phase and text; or the message of its error."""
    page.goto(str(client.base_url))
    source = SOURCE.replace("http://localhost:8080", str(client.base_url).rstrip("/"))
    call = f"ask({json.dumps(prompt)}, (phase, text) => shown.push([phase, text]))"
    return page.evaluate(
        f"async () => {{ {source}\nconst shown = [];\n"
        f"return {call}.then(() => shown, error => error.message); }}"
    )


def test_it_shows_the_three_phases(page: Page) -> None:
    with beside(open_pair()) as client:
        shown = ask(page, client, "What is 2+2?")
    assert list(dict.fromkeys(phase for phase, _ in shown)) == [
        "prompt_summary",
        "reasoning_summary",
        "final_output",
    ]
    assert "".join(text for phase, text in shown if phase == "final_output") == "The answer is 4."


def test_it_reports_an_error(page: Page) -> None:
    with beside(open_pair()) as client:
        assert ask(page, client, 7).startswith("messages[0].content: expected ")


def test_the_page_of_the_api_shows_a_command_and_examples_for_each_route(page: Page) -> None:
    with beside(open_pair()) as client:
        page.goto(f"{client.base_url}/docs".replace("//docs", "/docs"))
        page.wait_for_selector("details")
        for closed in page.locator("details").all():
            closed.locator("summary").first.click()
        routes = page.locator("details").all()
        commands = [route.locator("pre[aria-label=Command]").inner_text() for route in routes]
        text = page.inner_text("main")
    assert len(routes) == 11
    assert all(
        command.startswith("curl ") and str(client.base_url).rstrip("/") in command for command in commands
    )
    assert all(route.locator("pre").count() >= 2 for route in routes)
    assert re.findall(r".*(?:\bundefined\b|\[object).*", text) == []
