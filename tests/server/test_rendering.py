"""Rendering for the page: what Markdown becomes, that no markup gets through, and what bounds the work."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support import bearer, chat, key_line, open_gateway, settings
from trio_gateway.core.errors import RequestError
from trio_gateway.server.rendering import renderer as module
from trio_gateway.server.rendering.limits import MAX_TEXT
from trio_gateway.server.rendering.markdown import render
from trio_gateway.server.rendering.renderer import Renderer
from trio_gateway.server.rendering.tree import ATTRIBUTES, MATH_TAGS, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response

    from tests.support import Client


def nodes(text: str) -> list[Any]:
    return [node for block in render(text) for node in block["nodes"]]


def words(node: Any) -> str:
    """All text of *node*."""
    return node if isinstance(node, str) else "".join(map(words, node[2]))


def walk(node: Any) -> Iterator[tuple[str, dict[str, str]]]:
    if not isinstance(node, str):
        yield node[0], node[1]
        for child in node[2]:
            yield from walk(child)


def tags(text: str) -> list[str]:
    return [tag for node in nodes(text) for tag, _ in walk(node)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One *two* **three**", [["p", {}, ["One ", ["em", {}, ["two"]], " ", ["strong", {}, ["three"]]]]]),
        ("a\nb  \nc", [["p", {}, ["a", "\n", "b", ["br", {}, []], "c"]]]),
        ("# Title", [["h3", {}, ["Title"]]]),
        ("- a\n- b", [["ul", {}, [["li", {}, ["a"]], ["li", {}, ["b"]]]]]),
        ("3. a", [["ol", {"start": "3"}, [["li", {}, ["a"]]]]]),
        ("> a", [["blockquote", {}, [["p", {}, ["a"]]]]]),
        ("---", [["hr", {}, []]]),
        ("~~a~~ `b`", [["p", {}, [["s", {}, ["a"]], " ", ["code", {}, ["b"]]]]]),
        ("```\na\n b\n```", [["pre", {}, [["code", {}, ["a\n b"]]]]]),
        ("[a](https://b.c/)", [["p", {}, [["a", {"href": "https://b.c/"}, ["a"]]]]]),
        ("![a](https://b.c/d.png)", [["p", {}, [["a", {"href": "https://b.c/d.png"}, ["a"]]]]]),
        ("[a](/metrics)", [["p", {}, [["a", {}, ["a"]]]]]),
        ("![a](/metrics)", [["p", {}, ["a"]]]),
        ("", []),
    ],
)
def test_markdown(text: str, expected: object) -> None:
    assert nodes(text) == expected


def test_a_table() -> None:
    (table,) = nodes("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert table[0] == "table"
    assert [each for each in walk(table) if each[0] in {"th", "td"}] == [
        (tag, attributes) for tag in ("th", "td") for attributes in ({}, {"align": "right"})
    ]


def test_code_is_highlighted_and_stays_what_it_was() -> None:
    code = '\n\n@cache\ndef f(x):  # why\n\treturn "s" + 1\n\n'
    (pre,) = nodes(f"```python\n{code}```")
    assert pre[1] == {"lang": "python"}
    assert words(pre) == code.removesuffix("\n")
    assert {attributes["class"] for tag, attributes in walk(pre) if tag == "span"} == set("kfcsn")
    assert words(nodes("```no-such-language\na < b\n```")[0]) == "a < b"
    long = "x = 1\n" * 5_000
    assert [tag for tag, _ in walk(nodes(f"```python\n{long}```")[0])] == ["pre", "code"]


@pytest.mark.parametrize("text", ["$a^2$", r"\(a^2\)", "$$a^2$$", "$$\na^2\n$$", r"\[a^2\]", "\\[\na^2\n\\]"])
@pytest.mark.parametrize("around", ["{}", "so\n{}\nit is", "- {}"])
def test_formulas(text: str, around: str) -> None:
    found = tags(around.format(text))
    assert {"math", "msup", "mi", "mn"} <= set(found)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (r"$\frac{a$", r"\frac{a"),
        (r"$\nosuch{a}$", r"\nosuch{a}"),
        (f"${'a' * 3000}$", "a" * 3000),
        (f"${'{' * 400}a{'}' * 400}$", "{" * 400 + "a" + "}" * 400),
    ],
    ids=["broken", "unknown", "long", "deep"],
)
def test_a_formula_that_is_not_understood_stays_tex(text: str, code: str) -> None:
    assert nodes(text) == [["p", {}, [["code", {"class": "tex"}, [code]]]]]


@pytest.mark.parametrize(
    "text", ["It costs $5, or $6 a pair.", r"a \( b", r"\[", r"\(\)", "`$a$`", r"\\(a\\)"]
)
def test_what_is_no_formula(text: str) -> None:
    assert "math" not in tags(text)


def test_each_block_has_its_line() -> None:
    text = "One\ntwo\n\n\\[\nx\n\\]\n\n```\na\n\nb\n```\n- c\n\n  d\n\n$$\ny\n$$"
    assert [block["line"] for block in render(text)] == [0, 3, 7, 12, 16]


HOSTILE = [
    '<img src="x" onerror="alert(1)"><script>alert(2)</script>',
    "<div>\n<script>\nalert(1)\n</script>\n</div>",
    "[a](javascript:alert(1)) [b](data:text/html,x) [c](JaVaScRiPt:x) [d](vbscript:x) [e](//host/x) [f](file:///x)",
    "![a](javascript:alert(1)) <javascript:alert(1)>",
    r"$\href{javascript:alert(1)}{x}$ $\style{background:url(x)}{y}$ $\class{a}{b}$ $\text{<script>}$ $\color{red}{x}$",
    "```html\n<script>alert(1)</script>\n```",
    '```" onload="x\ncode\n```',
    "&lt;script&gt; &#60;b&#62;",
]
PIECES = st.sampled_from(
    [*HOSTILE, "\n", "\n\n", "- ", "> ", "`", "*", "|", "$", "\\(", "\\)", "[", "](", "a ", "\t", "\0"]
)


def is_clean(node: Any) -> bool:
    return all(
        (tag in TAGS or tag in MATH_TAGS)
        and set(attributes) <= ATTRIBUTES.get(tag, frozenset())
        and urlsplit(attributes.get("href", "http:")).scheme in {"http", "https", "mailto"}
        for tag, attributes in walk(node)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_stays_text(text: str) -> None:
    assert all(map(is_clean, nodes(text)))
    assert not {"script", "img", "div", "b"} & set(tags(text))


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_becomes_clean_nodes(text: str) -> None:
    blocks = render(text)
    assert all(is_clean(node) for block in blocks for node in block["nodes"])
    lines = [block["line"] for block in blocks]
    assert lines == sorted(lines)


async def post(client: Client, body: object, **headers: str) -> Response:
    return await client.post("/render", json=body, headers=headers)


async def test_the_route() -> None:
    async with open_gateway(settings()) as client:
        answer = await post(client, {"text": "A *b* 🙂 \ud800".encode("utf-8", "replace").decode()})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["blocks"][0]["nodes"][0][2][1] == ["em", {}, ["b"]]
        assert (await post(client, {"text": ""})).json() == {"blocks": []}


@pytest.mark.parametrize(
    ("content", "kind", "status", "param"),
    [
        (b"{", "application/json", 400, None),
        (b"[]", "application/json", 400, None),
        (b'{"text": 1}', "application/json", 400, "text"),
        (b'{"text": "a"}', "text/plain", 415, None),
        (json.dumps({"text": "a" * (MAX_TEXT + 1)}).encode(), "application/json", 413, None),
        (b'{"text": "' + b"a" * 7 * MAX_TEXT, "application/json", 413, None),
    ],
)
async def test_what_is_refused(content: bytes, kind: str, status: int, param: str | None) -> None:
    async with open_gateway(settings()) as client:
        answer = await client.post("/render", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ({}, "nothing (the field is missing)"),
        ({"txt": "a"}, "nothing (the field is missing)"),
        ({"text": None}, "null"),
        ({"text": 1}, "number 1"),
    ],
)
async def test_a_text_that_is_none_is_named_with_what_came(body: object, got: str) -> None:
    async with open_gateway(settings()) as client:
        answer = await post(client, body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["message"]) == ("text", f"text: expected a string, got {got}")


async def test_it_needs_a_key_where_chat_does() -> None:
    async with open_gateway(settings(keys=key_line("anna"))) as client:
        assert (await post(client, {"text": "a"})).status_code == 401
        assert (await post(client, {"text": "a"}, **bearer("anna"))).status_code == 200


async def test_a_text_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = r"[a](" * 25_000  # quadratic
    async with open_gateway(settings()) as client:
        assert (await post(client, {"text": "a"})).status_code == 200
        monkeypatch.setattr(module, "_DEADLINE", 0.01)
        answer = await post(client, {"text": slow})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert (
            answer.headers["retry-after"] == "10"
        )  # more than the page waits before it shows the text as it stands
        monkeypatch.undo()
        assert (await post(client, {"text": "a"})).status_code == 200


async def test_the_first_text_has_no_more_time_than_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEADLINE", 0.01)
    async with open_gateway(settings()) as client:
        answer = await post(client, {"text": r"[a](" * 25_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")


async def test_one_client_may_have_so_many_at_once() -> None:
    renderer = Renderer()
    refused: list[str] = []

    async def ask(owner: str) -> None:
        try:
            await renderer.render("a", owner)
        except RequestError as error:
            refused.append(f"{owner} {error.error.status}")

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask, "a")
        nursery.start_soon(ask, "b")
    assert refused == ["a 429"] * 2
    await renderer.render("a", "a")  # the count has gone down again
    await renderer.aclose()


async def test_the_reference_names_the_limits() -> None:
    async with open_gateway(settings()) as client:
        described = (await client.get("/openapi.json")).json()["paths"]["/render"]["post"]["description"]
    assert f"{MAX_TEXT:,} characters".replace(",", " ") in described
    assert f"`Retry-After: {module._TOO_SLOW.retry_after:.0f}`" in described
    assert f"up to {module._AT_ONCE} with those that wait" in described
    assert f"all clients together have {module._WAITING}" in described


async def test_all_clients_may_have_so_many_at_once() -> None:
    renderer = Renderer()
    refused: list[tuple[int, float | None]] = []

    async def ask(owner: str) -> None:
        try:
            await renderer.render("a", owner)
        except RequestError as error:
            refused.append((error.error.status, error.error.retry_after))

    async with trio.open_nursery() as nursery:
        for number in range(65):
            nursery.start_soon(ask, f"client {number}")
    assert refused == [(503, 1.0)]
    await renderer.aclose()


async def test_a_text_counts_in_the_limits_of_its_key() -> None:
    async with open_gateway(settings(keys=key_line("anna", "rpm=1") + key_line("bob"))) as client:
        first = await post(client, {"text": "a"}, **bearer("anna"))
        assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "0")
        asked = await client.post("/v1/chat/completions", json=chat(), headers=bearer("anna"))
        assert asked.status_code == 429
        began = trio.current_time()
        with trio.fail_after(30):
            while (answer := await post(client, {"text": "a"}, **bearer("anna"))).status_code == 200:
                pass
        took = trio.current_time() - began
        assert answer.status_code == 429
        assert 60 - took <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert (await post(client, {"text": "a"}, **bearer("bob"))).status_code == 200


async def test_one_clients_slow_texts_delay_no_other_client() -> None:
    renderer = Renderer()
    for _ in range(2):  # both processes run
        async with trio.open_nursery() as nursery:
            nursery.start_soon(renderer.render, "warm", "a")
            nursery.start_soon(renderer.render, "warm", "b")
    ends: list[str] = []

    async def ask(owner: str, text: str) -> None:
        with contextlib.suppress(RequestError):
            await renderer.render(text, owner)
        ends.append(owner)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, "slow", "[a](" * 25_000)  # quadratic: ended at its deadline
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(4):
            nursery.start_soon(ask, "quick", "a")
    assert ends == ["quick"] * 4 + ["slow"] * 3
    assert not renderer._turns
    await renderer.aclose()


async def test_who_leaves_takes_no_answer_of_another() -> None:
    renderer = Renderer()
    await renderer.render("warm", None)
    with trio.move_on_after(0):
        await renderer.render("first", None)
    assert b"second" in await renderer.render("second", None)
    await renderer.aclose()


async def test_the_end_does_not_wait_for_a_text() -> None:
    renderer = Renderer()
    await renderer.render("warm", None)
    process = renderer._idle[-1]._process
    assert process is not None
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(RequestError):
                await renderer.render("[a](" * 25_000, None)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await renderer.aclose()
        assert process.poll() is not None


async def test_a_process_that_has_ended_is_replaced() -> None:
    renderer = Renderer()
    await renderer.render("a", None)
    process = renderer._idle[-1]._process
    assert process is not None
    process.kill()
    await process.wait()
    assert b'"p"' in await renderer.render("a", None)
    await renderer.aclose()
