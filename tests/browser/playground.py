"""The page in a browser: opening it, acting on it and reading what it shows."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from tests.support import (
    Client,
    Script,
    Upstream,
    open_gateway,
    open_upstream,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.sync_api import Page


PROMPT = "Why is the sky blue?"


OUTPUT = ".turn:last-child .output"


UNDERSTOOD = ".turn:last-child .understood"


@asynccontextmanager
async def open_site(script: Script) -> AsyncIterator[tuple[Client, Upstream]]:
    """The gateway in front of an upstream that does what *script* says."""
    async with open_upstream(script) as upstream, open_gateway(settings(UPSTREAM_URL=upstream.url)) as client:
        yield client, upstream


def visit(page: Page, client: Client, *, model: str = "default") -> None:
    """Open the page, with that model chosen."""
    page.goto(str(client.base_url))
    page.locator(f'#model option[value="{model}"], #model option', has_text=model).first.wait_for(
        state="attached"
    )
    page.select_option("#model", model)


def choose(page: Page, transport: str) -> None:
    """Choose SSE or WebSocket."""
    with drawer(page):
        page.get_by_text(transport, exact=True).click()


@contextmanager
def drawer(page: Page) -> Iterator[None]:
    """The settings, open while in here."""
    page.click("#settings")
    yield
    page.click("#close")


def settled(page: Page) -> None:
    """Wait until the answer is done, and all of it is drawn."""
    comes_to(page, "done")
    wait_for(page, "turns.at(-1).answers.every(each => !each.rendered.running)")


def send(page: Page, prompt: str = PROMPT) -> None:
    page.fill("#prompt", prompt)
    page.keyboard.press("Control+Enter")


def comes_to(page: Page, state: str) -> None:
    """Wait until the page is in that state."""
    page.wait_for_selector(f'body[data-state="{state}"]')


def shown(page: Page, selector: str) -> str:
    text: str = page.inner_text(selector)
    return text.strip()


def run_js(page: Page, expression: str) -> Any:
    """What *expression* comes to in the page."""
    return page.evaluate(expression)


def wait_for(page: Page, condition: str) -> None:
    """Wait until *condition* holds in the page; as a function, for its policy lets no string be run."""
    page.wait_for_function(f"() => {condition}")


def facts(page: Page) -> dict[str, str]:
    names = page.locator(".turn:last-child .error dt").all_inner_texts()
    return dict(zip(names, page.locator(".turn:last-child .error dd").all_inner_texts(), strict=True))


def copied(page: Page, name: str) -> str:
    with drawer(page):
        page.get_by_role("button", name=name).click()
        wait_for(page, "document.querySelector('#copied').textContent == 'copied'")
    text: str = run_js(page, "navigator.clipboard.readText()")
    return text
