"""A conversation on the page: turns, settings, two models, what is kept and exported, and how answers are set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.beside import beside
from tests.browser.playground import (
    OUTPUT,
    UNDERSTOOD,
    drawer,
    open_site,
    run_js,
    send,
    settled,
    shown,
    visit,
    wait_for,
)
from tests.support import open_pair, plays, text_answer

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser


def test_a_conversation_goes_on(page: Page) -> None:
    with beside(open_site(plays(text_answer("One."), text_answer("Two.")))) as (client, upstream):
        visit(page, client)
        send(page, "First")
        settled(page)
        send(page, "Second")
        settled(page)
        assert page.locator(".message").all_inner_texts() == ["First", "Second"]
        assert page.locator(".output").all_inner_texts() == ["One.", "Two."]
        said = [(each["role"], each["content"]) for each in upstream.requests[-1]["messages"]]
        assert said == [("user", "First"), ("assistant", "One."), ("user", "Second")]
        page.reload()  # it is all kept
        assert page.locator(".message").all_inner_texts() == ["First", "Second"]
        wait_for(page, "document.querySelectorAll('.output p').length == 2")
        assert page.locator(".output").all_inner_texts() == ["One.", "Two."]
        page.get_by_role("button", name="New chat").click()
        assert page.locator(".turn").count() == 0
        assert page.is_visible("#empty")
        page.reload()
        assert page.locator(".turn").count() == 0


def test_retry_and_edit_replace_what_follows(page: Page) -> None:
    with beside(open_site(plays(*[text_answer(f"{word}.") for word in ("A", "B", "C", "D")]))) as (
        client,
        upstream,
    ):
        visit(page, client)
        for prompt in ("First", "Second"):
            send(page, prompt)
            settled(page)
        page.get_by_role("button", name="Retry").last.click()
        wait_for(page, "document.querySelector('.turn:last-child .output').textContent == 'C.'")
        settled(page)
        assert page.locator(".output").all_inner_texts() == ["A.", "C."]
        page.get_by_role("button", name="Edit").first.click()
        assert page.input_value("#prompt") == "First"
        assert page.is_visible("#editing")
        page.keyboard.press("Escape")
        assert (page.input_value("#prompt"), page.is_hidden("#editing")) == ("", True)
        page.get_by_role("button", name="Edit").first.click()
        send(page, "Other")
        wait_for(page, "document.querySelector('.turn:last-child .output').textContent == 'D.'")
        assert page.locator(".message").all_inner_texts() == ["Other"]
    assert [each["content"] for each in upstream.requests[-1]["messages"]] == ["Other"]
    assert [each["content"] for each in upstream.requests[2]["messages"]] == ["First", "A.", "Second"]


def test_settings_are_sent_and_kept(page: Page) -> None:
    with beside(open_site(plays(text_answer("Hi.")))) as (client, upstream):
        visit(page, client)
        with drawer(page):
            page.fill("#system", "Be brief.")
            page.fill("#temperature", "0.5")
            page.fill("#max-tokens", "99")
            page.select_option("#effort", "low")
            page.uncheck("#prompt-summary")
        page.reload()
        send(page)
        settled(page)
        assert page.text_content(UNDERSTOOD) == ""
    (body,) = upstream.requests
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (0.5, 99, "low")


def test_two_models_side_by_side(page: Page) -> None:
    with beside(open_pair()) as client:
        visit(page, client, model="mock-think")
        with drawer(page):
            page.select_option("#second", "mock-plain")
        send(page, "What is 2+2?")
        settled(page)
        assert page.locator(".who").all_inner_texts() == ["mock-think", "mock-plain"]
        assert page.locator(".output").all_inner_texts() == ["The answer is 4."] * 2
        heads = page.locator(".thought > summary").all_inner_texts()
        assert heads[0].startswith("Thought for ")
        assert heads[1] == "Answered without showing its thoughts"


def test_export_and_import(page: Page, tmp_path: Path) -> None:
    with beside(open_site(plays(text_answer("One.")))) as (client, _):
        visit(page, client)
        with drawer(page):
            page.fill("#system", "Be brief.")
        send(page, "First")
        settled(page)
        page.click("#settings")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export JSON").click()
        file = tmp_path / "conversation.json"
        download.value.save_as(file)
        body = json.loads(file.read_text())
        assert body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First"},
            {"role": "assistant", "content": "One."},
        ]
        page.click("#close")
        page.get_by_role("button", name="New chat").click()
        page.click("#settings")
        page.set_input_files("#file", file)
        page.wait_for_selector(".turn")
        assert page.locator(".message").all_inner_texts() == ["First"]
        wait_for(page, "document.querySelector('.output').textContent == 'One.'")
        assert page.input_value("#system") == "Be brief."
        page.click("#settings")
        file.write_text("[]")
        page.set_input_files("#file", file)
        page.get_by_text("This file is no JSON with a list").wait_for()


RICH = r"""# Title

Some **bold** text, $a^2$ and [a link](https://example.org/).

```python
def f(): return 1
```

| a | b |
|---|---|
| 1 | 2 |

\[ x = \frac{1}{2} \]
"""


def test_markdown_code_tables_and_formulas(page: Page) -> None:
    pieces = [RICH[at : at + 7] for at in range(0, len(RICH), 7)]
    with beside(open_site(plays(text_answer(*pieces)))) as (client, _):
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit(page, client)
        send(page)
        settled(page)
        for _ in range(2):
            tags = run_js(
                page,
                "['h3', 'strong', 'math', 'a[rel]', 'pre .k', 'td', 'mfrac'].map("
                "tag => document.querySelectorAll(`.output ${tag}`).length)",
            )
            assert tags == [1, 1, 2, 1, 2, 2, 1]
            assert run_js(page, "document.querySelector('math').namespaceURI.endsWith('MathML')")
            page.get_by_role("button", name="Copy code").click()
            wait_for(page, "document.querySelector('.code-head button').textContent == 'Copied'")
            assert run_js(page, "navigator.clipboard.readText()") == "def f(): return 1"
            page.reload()
            page.wait_for_selector("mfrac")


def test_the_page_shows_what_the_log_advises(page: Page) -> None:
    implied = text_answer("I add two and two.\n</think>\n\n", "The sum is 4.")
    with beside(open_site(plays(implied))) as (client, _):
        visit(page, client)
        assert page.is_hidden("#advice")
        send(page)
        page.wait_for_selector("#advice:not([hidden])")
        text = "Advice: model default opens its reasoning itself; set starts_in_reasoning = true"
        assert shown(page, "#advice") == text


def test_an_answer_is_rendered_once_there_is_room_for_it(page: Page) -> None:
    asked: list[Route] = []

    def refuse_twice(route: Route) -> None:
        asked.append(route)
        if len(asked) > 2:
            route.continue_()
        else:
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": {}})

    page.route("**/render", refuse_twice)
    with beside(open_site(plays(text_answer("Some ", "**bold**\n", "text")))) as (client, _):
        visit(page, client)
        send(page)
        wait_for(page, "document.querySelector('.output').textContent === 'Some **bold**\\ntext'")
        settled(page)
    assert shown(page, OUTPUT) == "Some bold text"


def test_an_answer_that_cannot_be_rendered_is_shown_as_it_stands(page: Page) -> None:
    page.route("**/render", lambda route: route.abort())
    with beside(open_site(plays(text_answer("Some ", "**bold**\n", "text")))) as (client, _):
        visit(page, client)
        send(page)
        settled(page)
    assert shown(page, OUTPUT) == "Some **bold**\ntext"
