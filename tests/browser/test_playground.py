"""The playground in a browser: what a person sees while a model thinks, answers, fails or is stopped."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.beside import beside, eventually
from tests.browser.playground import (
    OUTPUT,
    PROMPT,
    UNDERSTOOD,
    choose,
    comes_to,
    copied,
    drawer,
    facts,
    open_site,
    run_js,
    send,
    settled,
    shown,
    visit,
    wait_for,
)
from tests.support import (
    HEAD,
    Client,
    Json,
    open_pair,
    plays,
    sse_chunk,
    text_answer,
)
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Request, Route, WebSocketRoute

pytestmark = pytest.mark.browser

STREAMING = HEAD + sse_chunk({"content": "<think>Let me count.</think>"})
BRISK = Options(port=0, tokens_per_second=40)
ANSWER = (
    "The sky is blue because air scatters short wavelengths of sunlight much more than long ones. "
    "That scattered blue light reaches us from every direction."
)
LINE = ".turn:last-child .lines li"
FOOTER = ".turn:last-child footer"
LINES = "[summary]\ninterval = 0.3\n"
HALF = STREAMING + sse_chunk({"content": "Half an"})


def use_key(page: Page, key: str) -> None:
    """Type a key where none is asked for."""
    with drawer(page):
        page.get_by_role("button", name="Enter an API key").click()
        page.get_by_label("API key").press_sequentially(key)
        page.click("#settings")


@pytest.mark.parametrize("transport", ["SSE", "WebSocket"])
def test_the_phases_come_in_order_while_the_model_works(page: Page, transport: str) -> None:
    with beside(open_pair(LINES, options=BRISK)) as client:
        visit(page, client)
        choose(page, transport)
        assert shown(page, "#status") == "Ready"
        send(page)
        page.wait_for_selector(LINE)
        # The mock still thinks.
        assert run_js(page, "document.body.dataset.state") == "thinking"
        assert shown(page, UNDERSTOOD) == f'Processing: "{PROMPT}"...'
        assert shown(page, OUTPUT) == ""
        comes_to(page, "answering")
        lines = page.locator(LINE).count()
        assert lines >= 2
        wait_for(page, "document.querySelector('.turn:last-child .output').textContent.length > 10")
        assert len(shown(page, OUTPUT)) < len(ANSWER)
        comes_to(page, "done")
    assert shown(page, OUTPUT) == ANSWER
    assert page.locator(LINE).count() == lines
    assert shown(page, "#status") == "Done"
    facts = re.fullmatch(
        r"first token (\S+ m?s)\s+thought (\S+ s)\s+114 tokens \(89 thinking\)\s+(\d+) tokens/s\s+Copy",
        shown(page, FOOTER),
    )
    assert facts
    assert shown(page, ".thought > summary") == f"Thought for {facts[2]}"
    assert page.is_hidden(LINE)  # they fold when the answer begins
    page.click(".thought > summary")
    assert page.is_visible(LINE)
    said_at = run_js(page, "turns[0].answers[0].kept.lines.map(([time]) => time)")
    assert said_at == sorted(said_at)


def test_nothing_moves_while_text_streams(page: Page) -> None:
    with beside(open_pair(LINES, options=BRISK)) as client:
        visit(page, client)
        send(page)
        comes_to(page, "thinking")
        message, composer = page.locator(".message"), page.locator(".composer")
        before = message.bounding_box(), composer.bounding_box()
        settled(page)
        assert (message.bounding_box(), composer.bounding_box()) == before


@pytest.mark.parametrize("transport", ["SSE", "WebSocket"])
@pytest.mark.parametrize("how", ["button", "Escape"])
def test_stop_closes_the_upstreams_connection(page: Page, how: str, transport: str) -> None:
    with beside(open_site(plays(HALF, hold=True))) as (client, upstream):
        visit(page, client)
        choose(page, transport)
        send(page)
        comes_to(page, "answering")
        wait_for(page, "document.querySelector('.turn:last-child .output').textContent == 'Half an'")
        assert upstream.open_connections == 1
        if how == "button":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press(how)
        comes_to(page, "stopped")
        eventually(lambda: upstream.open_connections == 0)
        assert shown(page, "#status") == "Stopped"
        assert shown(page, OUTPUT) == "Half an"
        assert shown(page, FOOTER).startswith("Stopped")
        assert page.is_hidden("#stop")
        assert page.is_hidden(".turn:last-child .error")
        eventually(lambda: client.app.gateway.active == 0)
        send(page)  # and on it goes
        comes_to(page, "answering")
        eventually(lambda: upstream.open_connections == 1)
        page.goto("about:blank")  # leaving the page stops it too
        eventually(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize(
    ("model", "code", "status", "phase"),
    [
        ("fault-cut-40", "truncated", "502", "reasoning summary"),
        ("fault-500", "upstream_error", "502", "prompt summary"),
    ],
)
def test_a_fault_is_told(page: Page, model: str, code: str, status: str, phase: str) -> None:
    with beside(open_pair()) as client:
        visit(page, client, model=model)
        send(page)
        comes_to(page, "error")
    assert shown(page, "#status") == "Failed"
    assert len(shown(page, ".turn:last-child .error > p")) > 10
    told = facts(page)
    assert {**told, "request": ""} == {"code": code, "phase": phase, "status": status, "request": ""}
    assert page.get_by_role("alert").is_visible()


def test_what_came_before_the_fault_stays(page: Page) -> None:
    with beside(open_site(plays(HALF))) as (client, _):
        visit(page, client)
        send(page)
        comes_to(page, "error")
    assert shown(page, OUTPUT) == "Half an"
    assert facts(page)["phase"] == "final output"


def test_a_refused_request_is_told(page: Page) -> None:
    with beside(open_pair("[server]\nmax_body = 2000\n")) as client:
        visit(page, client)
        send(page, "x" * 3000)
        comes_to(page, "error")
    assert shown(page, ".turn:last-child .error > p") == "The request body is too large: at most 2,000 bytes."
    assert facts(page)["status"] == "413"
    assert facts(page)["code"] == "request_too_large"


def test_a_network_that_fails_is_told(page: Page) -> None:
    chunk = '{"choices": [{"index": 0, "delta": {"content": "Half"}}], "phase": "final_output"}'
    body = f'event: phase\r\ndata: {{"phase": "final_output"}}\r\n\r\n: ping\r\n\r\ndata: {chunk}\r\n\r\n'
    answers: list[Callable[[Route], None]] = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body),
        lambda route: route.fulfill(status=504, content_type="text/html", body="<h1>Proxy</h1>"),
    ]
    messages = []
    with beside(open_pair()) as client:
        visit(page, client)
        for answer in answers:
            page.route("**/v1/chat/completions", answer)
            send(page)
            comes_to(page, "error")
            messages.append(shown(page, ".turn:last-child .error > p"))
    assert messages == [
        "The gateway cannot be reached. Is it running?",
        "The stream broke off before its end.",
        "Something answered in place of the gateway.",
    ]
    assert facts(page) == {"status": "504"}


MARKUP = '<img src="x" onerror="document.title=1"><script>document.title = 2</script><b>bold</b> &amp; </div>'


def test_markup_stays_text(page: Page) -> None:
    answer = text_answer(f"<think>{MARKUP} is what I look at. It goes on so.</think>", MARKUP)
    with beside(open_site(plays(answer))) as (client, _):
        visit(page, client)
        send(page, MARKUP)
        settled(page)
    assert run_js(page, "document.querySelector('.turn:last-child .output').textContent") == MARKUP.replace(
        "&amp;", "&"
    )
    assert MARKUP in run_js(page, "document.querySelector('.raw').textContent")
    assert MARKUP in run_js(page, "document.querySelector('.understood').textContent")
    assert page.locator("main :is(img, b, script)").count() == 0
    assert page.title() == "Reasoning Gateway"


def test_raw_reasoning_on_demand(page: Page) -> None:
    with beside(open_pair()) as client:
        visit(page, client)
        send(page, "What is 2+2?")
        settled(page)
        assert page.is_hidden(".raw-box")
        page.click(".thought > summary")
        assert page.is_hidden(".raw")
        page.click(".raw-box > summary")
        raw = shown(page, ".raw")
        with drawer(page):
            page.uncheck("#raw")
        send(page, "What is 2+2?")
        settled(page)
        assert run_js(page, "turns.at(-1).answers[0].rawBox.hidden")
    assert raw.startswith("The user asks for the sum of 2 and 2. Adding")
    assert raw.endswith("so a short reply is best.")
    assert page.locator(LINE).count() >= 1


FOCUSED = "document.activeElement.id || document.activeElement.textContent || document.activeElement.value"


def test_the_keyboard_is_enough(page: Page) -> None:
    with beside(open_pair()) as client:
        visit(page, client)
        page.reload()
        order = []
        for _ in range(3):
            order.append(run_js(page, FOCUSED))
            page.keyboard.press("Tab")
        assert order == [
            "prompt",
            "model",
            "send",
        ]
        page.focus("#prompt")
        page.keyboard.press("Control+Enter")  # with nothing to send
        assert run_js(page, "document.body.dataset.state") == "idle"
        page.keyboard.type("What is 2+2?")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("Quickly.")
        assert run_js(page, "document.body.dataset.state") == "idle"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        settled(page)
        assert shown(page, ".message") == "What is 2+2?\nQuickly."
        assert run_js(page, "document.activeElement.id") == "prompt"
        page.focus("#settings")
        page.keyboard.press("Enter")
        assert run_js(page, "document.activeElement.closest('dialog').id") == "drawer"
        page.keyboard.press("Escape")
        assert run_js(page, "document.activeElement.id") == "settings"


def test_everything_has_a_name_and_the_news_are_told(page: Page) -> None:
    with beside(open_pair()) as client:
        visit(page, client)
    nameless = run_js(
        page,
        """[...document.querySelectorAll('button, input, select, textarea')].filter(
             each => !(each.labels?.length || each.ariaLabel || each.textContent.trim())).length""",
    )
    assert nameless == 0
    assert page.get_by_role("log", name="Conversation").count() == 1
    assert page.get_attribute("#status", "role") == "status"
    assert page.get_attribute("#news", "aria-live") == "polite"


def test_the_key_stays_in_this_tab_and_travels_in_the_header(page: Page) -> None:
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    with beside(open_pair()) as client:
        visit(page, client)
        use_key(page, "sk-test-1")
        send(page)
        comes_to(page, "done")
        stored = run_js(page, "[JSON.stringify(sessionStorage), document.cookie]")
        assert stored == ['{"gateway-key":"sk-test-1"}', ""]
        assert "sk-test-1" not in run_js(page, "JSON.stringify(localStorage)")
        page.reload()
        assert page.input_value("#key") == "sk-test-1"
        page.wait_for_selector("#upstreams li", state="attached")
    with_key = {each.url.rpartition("/")[2] for each in sent if has_key(each)}
    assert with_key == {"models", "completions", "render"}
    assert has_key([each for each in sent if each.url.endswith("/v1/models")][-1])


def has_key(request: Request) -> bool:
    return bool(request.headers.get("authorization") == "Bearer sk-test-1")


def test_a_gateway_that_wants_a_key_says_so(page: Page) -> None:
    error = {"message": "Say who you are.", "type": "authentication_error", "code": "invalid_api_key"}
    refused = json.dumps({"error": {**error, "param": None}})
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json=json.loads(refused)))
    with beside(open_pair()) as client:
        page.goto(str(client.base_url))
        page.get_by_text("This gateway asks for a key.").wait_for()
        send(page)
        comes_to(page, "error")
    assert shown(page, ".turn:last-child .error > p").startswith("This gateway asks for a key. Enter it")
    assert facts(page) == {"code": "invalid_api_key", "status": "401"}
    assert run_js(page, "document.activeElement.id") == "key"


def test_copy_as(page: Page) -> None:
    prompt = "It's \"5 o'clock\"\\ \n$HOME 🙂"
    with beside(open_pair()) as client:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, client)
        page.fill("#prompt", prompt)
        use_key(page, "sk-secret")
        curl, python = copied(page, "curl"), copied(page, "Python")
        run_js(page, "delete Navigator.prototype.clipboard")  # as where the page came by plain HTTP
        run_js(page, "$('copied').textContent = ''")
        page.click("#settings")
        page.get_by_role("button", name="curl").click()
        wait_for(page, "$('copied').textContent == 'copied'")
        assert run_js(page, "document.activeElement.id") == "copy-curl"
        base = str(client.base_url)
    assert "sk-secret" not in curl + python
    words = shlex.split(curl)
    assert words[:3] == ["curl", "-N", f"{base}/v1/chat/completions"]
    assert words[words.index("-H", 5) + 1] == "Authorization: Bearer $GATEWAY_API_KEY"
    sent: Json = json.loads(words[words.index("-d") + 1])
    assert sent == {
        "model": "default",
        "messages": [{"role": "user", "content": prompt}],
        "gateway": {"reasoning": "both"},
    }
    compile(python, "copied", "exec")
    assert f'"{base}/openai/v1"' in python
    assert json.dumps(prompt, ensure_ascii=False) in python


def test_health_and_breakers_are_shown(page: Page) -> None:
    with beside(open_pair("[upstreams.main.breaker]\nconsecutive = 1\n")) as client:
        visit(page, client, model="fault-500")
        page.wait_for_selector('#health[data-tone="good"]')
        assert page.text_content("#upstreams") == "main takes requests"
        send(page)
        comes_to(page, "error")
        page.wait_for_selector('#health[data-tone="bad"]')
        assert shown(page, "#health").startswith("unavailable · v")
        assert (page.text_content("#upstreams") or "").startswith("main pausedtries again in ")
        page.route("**/health", lambda route: route.abort())
        run_js(page, "document.dispatchEvent(new Event('visibilitychange'))")  # else in five seconds
        wait_for(page, "document.querySelector('#health').textContent == 'unreachable'")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_themes(page: Page, system: Any) -> None:
    page.emulate_media(color_scheme=system)

    def dark() -> bool:
        color = run_js(page, "getComputedStyle(document.documentElement).backgroundColor")
        return int(color.removeprefix("rgb(").split(",")[0]) < 128

    with beside(open_pair()) as client:
        visit(page, client)
        assert dark() == (system == "dark")
        page.get_by_role("button", name="Switch between light and dark").click()
        assert dark() != (system == "dark")
        page.reload()
        assert dark() != (system == "dark")


def test_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 340, "height": 640})
    long = STREAMING + sse_chunk({"content": "w" * 500 + " w" * 800})
    with beside(open_site(plays(long, hold=True))) as (client, _):
        visit(page, client)
        send(page)
        comes_to(page, "answering")
        wait_for(page, "document.querySelector('.turn:last-child .output').textContent.length > 1500")
        page.wait_for_timeout(100)
        assert run_js(page, "document.documentElement.scrollWidth") == 340
        # However long the answer, its end and Stop are in view.
        composer = page.locator(".composer").bounding_box()
        assert composer
        assert composer["y"] + composer["height"] <= 640
        assert page.is_visible("#stop")
        end = run_js(
            page, "document.querySelector('.turn:last-child .output').getBoundingClientRect().bottom"
        )
        assert 300 < end <= composer["y"]
        page.keyboard.press("Escape")


class Socket:
    """The gateway's end of a WebSocket, played by the test."""

    def __init__(self, page: Page, *, answers: str = "half") -> None:
        self.received: list[Json] = []
        self.protocols: list[str] = []
        self.closed: list[int | None] = []
        self._answers = answers
        page.route_web_socket("**/v1/chat/completions", self._serve)

    def _serve(self, route: WebSocketRoute) -> None:
        self._route = route
        self.protocols = list(route.protocols)
        route.on_message(self._take)
        route.on_close(lambda code, _reason: self.closed.append(code))

    def _take(self, message: str | bytes) -> None:
        self.received.append(json.loads(message))
        if self.received[-1].get("type") == "cancel":
            self.say("error", {"error": {"message": "Cancelled.", "code": "cancelled"}, "choices": []})
            self.say("message", "[DONE]")
        elif self._answers == "restart":
            self._route.close(code=1012, reason="restart")
        else:
            self._begin()

    def _begin(self) -> None:
        for phase, text in (
            ("prompt_summary", "[Prompt Summary] Sky"),
            ("reasoning_summary", "[Reasoning Summary] One"),
            ("reasoning_summary", "\nTwo"),
            ("reasoning_summary", "\n\n"),
            ("final_output", "Blue"),
        ):
            if not text.startswith("\n"):
                self.say("phase", {"phase": phase})
            self.say("message", {"choices": [{"index": 0, "delta": {"content": text}}], "phase": phase})
        if self._answers == "whole":
            self.say("message", {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
            self.say("message", "[DONE]")

    def closes(self, page: Page) -> None:
        """Wait until the page has closed it."""
        for _ in range(500):
            if self.closed:
                return
            page.wait_for_timeout(10)  # Playwright's own wait: while it lasts, our callbacks are called
        pytest.fail("the page left its WebSocket open")

    def say(self, event: str, data: object) -> None:
        self._route.send(json.dumps({"event": event, "data": data}))


def choose_websocket(page: Page, client: Client) -> None:
    visit(page, client)
    choose(page, "WebSocket")


def test_websocket(page: Page) -> None:
    socket = Socket(page, answers="whole")
    with beside(open_pair()) as client:
        choose_websocket(page, client)
        use_key(page, "sk-test-1")
        send(page)
        comes_to(page, "done")
        socket.closes(page)
    assert page.text_content(UNDERSTOOD) == "Sky"
    assert page.locator(LINE).all_text_contents()[0].endswith("One")
    assert page.locator(LINE).count() == 2
    assert shown(page, OUTPUT) == "Blue"
    assert shown(page, "#status") == "Cut at the token limit"
    assert socket.protocols == ["key.sk-test-1"]
    assert socket.closed == [1000]
    (body,) = socket.received
    assert body["messages"] == [{"role": "user", "content": PROMPT}]
    assert body["gateway"] == {"format": "phases", "reasoning": "both"}


def test_websocket_stop(page: Page) -> None:
    socket = Socket(page)
    with beside(open_pair()) as client:
        choose_websocket(page, client)
        send(page)
        comes_to(page, "answering")
        page.keyboard.press("Escape")
        comes_to(page, "stopped")
        socket.closes(page)
    assert socket.received[1:] == [{"type": "cancel"}]
    assert page.is_hidden(".turn:last-child .error")


def test_websocket_that_is_closed(page: Page) -> None:
    Socket(page, answers="restart")
    with beside(open_pair()) as client:
        choose_websocket(page, client)
        send(page)
        comes_to(page, "error")
    assert shown(page, ".turn:last-child .error > p") == "The gateway is restarting. Try again in a moment."
    assert facts(page) == {"code": "restart", "status": "1012"}


def test_a_key_that_no_websocket_carries(page: Page) -> None:
    with beside(open_pair()) as client:
        choose_websocket(page, client)
        use_key(page, "c2VjcmV0/+=")
        send(page)
        comes_to(page, "error")
    assert shown(page, ".turn:last-child .error > p").startswith("This key holds characters")
