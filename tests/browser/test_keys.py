"""The playground of a gateway that asks for keys, and how little of that is seen where none does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.browser.beside import beside
from tests.browser.playground import (
    OUTPUT,
    choose,
    comes_to,
    copied,
    facts,
    run_js,
    send,
    shown,
    wait_for,
)
from tests.support import (
    Client,
    Upstream,
    key_line,
    open_gateway,
    open_pair,
    open_upstream,
    plays,
    settings,
    text_answer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.sync_api import Page, Request

pytestmark = pytest.mark.browser

KEYS = key_line("anna") + key_line("bert", "models=mock-think")
ASKS = "This gateway asks for a key. It is forgotten when this tab closes."
KEPT = "Forgotten when this tab closes."
REFUSED = "This gateway does not accept this key: it may be mistyped, expired or revoked."
TRANSPORTS = pytest.mark.parametrize("transport", ["SSE", "WebSocket"])


@asynccontextmanager
async def open_site() -> AsyncIterator[tuple[Client, Upstream]]:
    """A gateway that asks for keys, and the upstream behind it."""
    async with (
        open_upstream(plays(text_answer("Hi."))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url, keys=KEYS)) as client,
    ):
        yield client, upstream


def visit(page: Page, client: Client) -> None:
    """Open the page of a gateway that asks for a key, up to where it says so."""
    page.goto(str(client.base_url))
    page.get_by_text(ASKS).wait_for()


def enter(page: Page, key: str) -> None:
    """Type the key and leave its field."""
    page.get_by_label("API key").fill("")
    page.get_by_label("API key").press_sequentially(key)
    page.focus("#prompt")


def models(page: Page) -> list[str]:
    names: list[str] = run_js(page, "[...document.querySelectorAll('#model option')].map(each => each.value)")
    return names


def has_models(page: Page) -> None:
    page.locator("#model option", has_text="mock-think").wait_for(state="attached")


def listing(page: Page) -> list[Request]:
    """The requests for the list of models, as they come."""
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/v1/models") else None)
    return asked


def test_it_says_that_it_asks_for_a_key_and_no_more(page: Page) -> None:
    asked = listing(page)
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        assert page.get_by_label("API key").is_visible()
        assert run_js(page, "document.activeElement.id") == "prompt"
        assert shown(page, "#status") == "Needs a key"
        assert page.locator(".error:visible").count() == 0
        assert models(page) == ["default"]
        # The answer is known: asking on would only fill the gateway's log.
        run_js(page, "document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_timeout(50)
        assert len(asked) == 1


def test_the_models_of_an_upstream_are_asked_for_when_it_answers(page: Page) -> None:
    """The page may be there before the upstream's list is, or the upstream itself."""
    asked = listing(page)
    upstream: dict[str, object] = {"state": "closed", "reachable": None}
    page.route(
        "**/health", lambda route: route.fulfill(json={"status": "ok", "upstreams": {"main": upstream}})
    )
    with beside(open_pair()) as client:
        with page.expect_request("**/v1/models"):
            page.goto(str(client.base_url))
        run_js(page, "pollHealth()")
        assert len(asked) == 1
        upstream["reachable"] = True
        run_js(page, "pollHealth()")
        assert len(asked) == 2


def test_the_models_come_when_the_key_is_typed(page: Page) -> None:
    asked = listing(page)
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        enter(page, "gw-anna")
        has_models(page)
        assert shown(page, "#status") == "Ready"
        assert shown(page, "#key-hint") == KEPT
        assert [each.headers.get("authorization") for each in asked] == [None, "Bearer gw-anna"]
        enter(page, "gw-bert")  # it may ask for one
        wait_for(page, "$('model').options.length == 1")
        assert models(page) == ["mock-think"]
        enter(page, "gw-carl")
        page.get_by_text("This key is not accepted.").wait_for()
        assert page.get_attribute("#key", "aria-invalid") == "true"
        assert shown(page, "#status") == "Needs a key"
        page.keyboard.press("Shift+Tab")
        page.focus("#key")
        page.keyboard.press("End")
        page.keyboard.press("Backspace")
        assert shown(page, "#key-hint") == KEPT  # nothing is known of this one yet
        assert page.get_attribute("#key", "aria-invalid") == "false"


def test_a_pasted_key_is_whole(page: Page) -> None:
    with beside(open_pair(keys=KEYS)) as client:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, client)
        page.evaluate("() => navigator.clipboard.writeText(' gw-anna ')")
        page.focus("#key")
        page.keyboard.press("Control+V")
        has_models(page)
        assert run_js(page, "document.activeElement.id") == "key"


@TRANSPORTS
def test_a_key_opens_the_gateway_and_goes_no_further(page: Page, transport: str) -> None:
    with beside(open_site()) as (client, upstream):
        visit(page, client)
        choose(page, transport)
        enter(page, "gw-anna")
        send(page)
        comes_to(page, "done")
        assert shown(page, OUTPUT) == "Hi."
        assert len(upstream.requests) == 1
        assert "gw-anna" not in f"{upstream.headers} {upstream.requests}"
        assert "gw-anna" not in page.url + page.content()
        assert "gw-anna" not in run_js(page, "JSON.stringify(localStorage) + document.cookie")
        assert run_js(page, "JSON.stringify(sessionStorage)") == '{"gateway-key":"gw-anna"}'


@TRANSPORTS
@pytest.mark.parametrize(
    ("key", "message", "hint"),
    [
        ("", "This gateway asks for a key. Enter it above the message, then try again.", ASKS),
        ("gw-carl", REFUSED, "This key is not accepted."),
    ],
)
def test_a_refused_run_says_why(page: Page, transport: str, key: str, message: str, hint: str) -> None:
    with beside(open_site()) as (client, upstream):
        visit(page, client)
        choose(page, transport)
        enter(page, key)
        send(page)
        comes_to(page, "error")
        assert shown(page, ".turn:last-child .error > p") == message
        assert {**facts(page), "request": ""} == {"code": "invalid_api_key", "status": "401", "request": ""}
        assert page.get_by_role("alert").is_visible()
        wait_for(page, "document.activeElement.id == 'key'")
        assert shown(page, "#key-hint") == hint
        assert upstream.requests == []
        page.keyboard.type("gw-anna")  # in place of what was there
        page.keyboard.press("Enter")
        comes_to(page, "done")
        assert page.locator(".error:visible").count() == 0
        wait_for(page, f"$('key-hint').textContent == '{KEPT}'")


def test_a_socket_that_does_not_open_for_another_reason(page: Page) -> None:
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        choose(page, "WebSocket")
        page.route("**/v1/models", lambda route: route.fulfill(status=200, json={"data": []}))
        send(page)
        comes_to(page, "error")
        assert shown(page, ".turn:last-child .error > p").startswith(
            "No WebSocket could be opened, though the gateway answers"
        )
        page.route("**/v1/models", lambda route: route.abort())
        send(page)
        wait_for(
            page,
            "document.querySelector('.turn:last-child .error p')?.textContent == 'The gateway cannot be reached. Is it running?'",
        )


def test_what_is_copied_holds_no_key(page: Page) -> None:
    with beside(open_pair(keys=KEYS)) as client:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, client)
        for key in ("", "gw-anna"):  # that one is needed is known before it is there
            enter(page, key)
            curl, python = copied(page, "curl"), copied(page, "Python")
            assert "gw-anna" not in curl + python
            assert '-H "Authorization: Bearer $GATEWAY_API_KEY" ' in curl
            assert 'api_key=os.environ["GATEWAY_API_KEY"])' in python
            compile(python, "copied", "exec")


def test_a_tab_keeps_its_key_and_no_other_has_it(page: Page) -> None:
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        enter(page, "gw-anna")
        has_models(page)
        page.reload()
        has_models(page)
        assert page.get_by_label("API key").is_visible()
        assert page.input_value("#key") == "gw-anna"
        browser = page.context.browser
        assert browser
        for context in (page.context, other := browser.new_context()):
            another = context.new_page()
            another.goto(str(client.base_url))
            another.get_by_text(ASKS).wait_for()
            assert another.input_value("#key") == ""
            another.close()
        other.close()


def test_without_storage_the_key_is_good_until_the_page_is_left(page: Page) -> None:
    page.add_init_script(
        "for (const name of ['sessionStorage', 'localStorage'])"
        "  Object.defineProperty(window, name, {get() { throw new DOMException('denied', 'SecurityError'); }});"
    )
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        enter(page, "gw-anna")
        has_models(page)
        send(page)
        comes_to(page, "done")
        page.reload()
        page.get_by_text(ASKS).wait_for()
        assert page.input_value("#key") == ""


def test_a_key_that_none_can_be(page: Page) -> None:
    asked = listing(page)
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        enter(page, "clé à moi")
        assert shown(page, "#key-hint") == "ASCII letters, digits and signs; no spaces."
        run_js(page, "$('key-box').hidden = true")
        send(page)  # hidden it could not be pointed at
        assert page.get_by_label("API key").is_visible()
        assert run_js(page, "document.activeElement.id") == "key"
        assert len(asked) == 1


def test_a_gateway_that_asks_no_more(page: Page) -> None:
    page.route("**/v1/models", lambda route: route.fulfill(status=401, body="Who?"))
    with beside(open_pair()) as client:
        visit(page, client)
        page.unroute("**/v1/models")
        send(page)
        comes_to(page, "done")
        has_models(page)
        assert shown(page, "#key-hint") == KEPT


def test_where_no_key_is_asked_for_its_field_is_folded_away(page: Page) -> None:
    with beside(open_pair()) as client:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(str(client.base_url))
        has_models(page)
        assert page.get_by_label("API key").is_hidden()
        assert shown(page, "#status") == "Ready"
        page.fill("#prompt", "What?")
        assert "uthoriz" not in copied(page, "curl")
        python = copied(page, "Python")
        assert python.startswith("from openai import OpenAI\n")
        assert 'api_key="none")' in python
        page.click("#settings")
        page.focus("#show-key")
        page.keyboard.press("Enter")  # an upstream of its own may want one
        page.keyboard.type("sk-1")
        assert page.input_value("#key") == "sk-1"
        page.reload()
        assert page.get_by_label("API key").is_visible()


def test_on_a_narrow_screen_the_page_goes_to_where_the_key_is_entered(page: Page) -> None:
    page.set_viewport_size({"width": 340, "height": 640})
    with beside(open_pair(keys=KEYS)) as client:
        visit(page, client)
        send(page)
        comes_to(page, "error")
        wait_for(page, "document.activeElement.id == 'key'")
        assert run_js(page, "document.documentElement.scrollWidth") == 340
        top, bottom = run_js(
            page, "[$('key').getBoundingClientRect().top, $('key-hint').getBoundingClientRect().bottom]"
        )
        assert 0 <= top < bottom <= 640
