"""The playground as it leaves the gateway: one page, headers that pin it, nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shlex
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import trio_gateway
from tests.support import Json, chat, open_gateway, open_pair, settings
from trio_gateway.core.client_api.chat_request import REFUSED_FIELDS
from trio_gateway.server.auth_and_cors import PUBLIC
from trio_gateway.server.pages import Page, read_api, read_page

if TYPE_CHECKING:
    import httpx

FOLDER = Path(trio_gateway.__file__).parent / "server" / "playground"
# Bytes: it is read over slow lines too, and by people.
LIMIT = 72_000


@pytest.fixture
def page() -> Page:
    return read_page(FOLDER)


async def get(path: str = "/", method: str = "GET", **headers: str) -> httpx.Response:
    async with open_gateway(settings()) as client:
        return await client.request(method, path, headers=headers)


async def test_the_page_and_its_headers(page: Page) -> None:
    answer = await get()
    assert answer.status_code == 200
    assert answer.text == page.html
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == page.policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_browser_that_has_it_is_not_sent_it_again(page: Page) -> None:
    async with open_gateway(settings()) as client:
        first = await client.get("/")
        second = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
        other = await client.get("/", headers={"If-None-Match": '"another"'})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]
    assert other.status_code == 200


async def test_head_and_other_methods() -> None:
    head, post = await get(method="HEAD"), await get(method="POST")
    assert (head.status_code, head.content) == (200, b"")
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")
    assert post.json()["error"]["code"] == "method_not_allowed"


def test_the_policy_allows_what_the_page_holds_and_no_more(page: Page) -> None:
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    assert {name: values for name, values in rules.items() if name not in {"script-src", "style-src"}} == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    for tag in ("script", "style"):
        texts = re.findall(f"<{tag}>(.*?)</{tag}>", page.html, re.DOTALL)
        hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in texts]
        assert hashes
        assert rules[f"{tag}-src"] == " ".join(f"'sha256-{each}'" for each in hashes)


def test_it_is_small(page: Page) -> None:
    assert len(page.html.encode()) < LIMIT


class References(HTMLParser):
    """What a document would load or run besides its inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href", "action", "style", "srcset"} or name.startswith("on"):
                self.found.append(f"{tag} {name}={(value or '')[:12].split(':')[0]}")


def test_nothing_comes_from_elsewhere(page: Page) -> None:
    references = References()
    references.feed(page.html)
    pages = ["a href=docs", "a href=openapi.json", "a href=metrics"]
    assert references.found == ["link href=data", *pages, *pages]
    addresses = set(re.findall(r"\b(?:https?|wss?)://[^\s'\"]+", page.html))
    # Names, not addresses: in the icon, and of formulas.
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}


def luminance(color: str) -> float:
    digits = "".join(each * 2 for each in color) if len(color) == 3 else color
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_can_be_read_on_every_ground(page: Page) -> None:
    pairs = dict(re.findall(r"(--[\w-]+|(?<=\.)\w(?= \{)).{0,10}light-dark\((#\w+, #\w+)\)", page.html))
    grounds = [pairs.pop(f"--{name}") for name in ("paper", "card", "sunk", "bad-paper")]
    pairs = {name: pair for name, pair in pairs.items() if name not in {"--line", "--on-accent"}}
    assert len(pairs) == 11
    for theme in (0, 1):
        for name, pair in pairs.items():
            for ground in grounds:
                lights = sorted(luminance(each.split(", ")[theme][1:]) for each in (pair, ground))
                assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, (name, pair, ground)


def test_text_never_becomes_markup_or_code(page: Page) -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc"
    assert not re.search(ways, page.html)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="gone.js"></script>')
    with pytest.raises(FileNotFoundError):
        read_page(tmp_path)


def test_a_page_without_scripts_may_run_none(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Hello")
    page = read_page(tmp_path)
    assert page.html == "<p>Hello"
    assert "script-src 'none'; style-src 'none'" in page.policy


async def test_the_api_is_described_as_it_is_served() -> None:
    async with open_gateway(settings()) as client:
        told = (await client.get("/openapi.json")).json()
        docs = await client.get("/docs")
        rules = list(client.app.url_map.iter_rules())
    assert told["info"]["version"] == trio_gateway.__version__
    fields = told["components"]["schemas"]["ChatRequest"]["properties"]
    assert {name for name, schema in fields.items() if schema is False} == set(REFUSED_FIELDS)
    served = {
        (re.sub(r"<path:model_id>", "{id}", rule.rule), method)
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.websocket and rule.rule not in {"/", "/docs", "/openapi.json"}
    }
    assert {(path, method.upper()) for path, each in told["paths"].items() for method in each} == served
    asking = {
        path for path, each in told["paths"].items() for view in each.values() if "401" in view["responses"]
    }
    assert asking == told["paths"].keys() - PUBLIC
    assert docs.headers["content-security-policy"] == read_page(FOLDER.parent / "reference").policy
    assert "operations" in docs.text


def shape(value: object) -> object:
    """The keys of *value* and the kinds of what they hold; of a list the first item."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


def shape_of_stream(text: str) -> list[object]:
    """The events of a stream, without those that merely go on with a phase."""
    events = [re.sub(r"^event: phase\ndata: ", "phase ", event) for event in text.split("\n\n") if event]
    shapes = [shape(json.loads(each[6:])) if each.startswith("data: {") else each for each in events]
    return [each for at, each in enumerate(shapes) if each != shapes[at - 1]]


OPERATIONS = [
    (path, method, view)
    for path, views in read_api(FOLDER.parent / "reference")["paths"].items()
    for method, view in views.items()
]


@pytest.mark.parametrize(
    ("path", "method", "view"), OPERATIONS, ids=[view["operationId"] for *_, view in OPERATIONS]
)
async def test_each_route_has_a_command_and_an_example_of_its_answer(
    path: str, method: str, view: Json
) -> None:
    (sample,) = view["x-codeSamples"]
    program, *arguments = shlex.split(sample["source"])
    assert program == "curl"
    url = next(each for each in arguments if each.startswith("http://localhost:8080/"))
    assert url.endswith(path.replace("{id}", "default"))
    body = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
    assert (method == "post") == (body is not None)
    examples = {kind: each["example"] for kind, each in view["responses"]["200"]["content"].items()}
    async with open_pair() as client:
        await client.post("/v1/chat/completions", json=chat())  # for the metrics
        for kind, example in examples.items():
            asked: Json | None = None if body is None else json.loads(body)
            if asked is not None and "/chat/" in path:
                asked["stream"] = kind == "text/event-stream"
            answer = await client.request(method, url.removeprefix("http://localhost:8080"), json=asked)
            assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
            if kind == "application/json":
                assert shape(answer.json()) == shape(example)
            elif kind == "text/event-stream":
                assert shape_of_stream(answer.text) == shape_of_stream(example)
            else:
                assert example in answer.text
