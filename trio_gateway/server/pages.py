"""Pages: the playground at ``/``, and ``/docs`` for ``/openapi.json``.

A page is written as a few files and served as one, with its style and scripts inline: one request, and no
other path that would have to be public. What may run in it is pinned by hash: should a model's words ever
become markup, the browser would run none of it.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from quart import Response, request

from ..core.json.strict import dumps
from ..version import __version__

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from quart import Quart

__all__ = ["Page", "add_pages", "read_api", "read_page"]

_LINK = re.compile(r'<link rel="stylesheet" href="([\w.]+)">|<script src="([\w.]+)"></script>')


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page, and the header that says what it may load and run."""

    html: str
    policy: str
    """Value of ``Content-Security-Policy``."""

    def response(self) -> Response:
        """A new answer that holds the page; browsers ask each time whether theirs is still the same."""
        response = Response(self.html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = self.policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"
        response.set_etag(sha256((self.policy + self.html).encode()).hexdigest()[:32])
        return response


def read_page(folder: Traversable) -> Page:
    """The page of *folder*: its ``index.html``, with the style sheets and scripts beside it put inline.

    Raises:
        OSError: a file that the page names is not there.
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def inline(link: re.Match[str]) -> str:
        tag, name = ("style", link[1]) if link[1] else ("script", link[2])
        text = "\n" + folder.joinpath(name).read_text(encoding="utf-8")
        hashes[tag].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
        return f"<{tag}>{text}</{tag}>"

    html = _LINK.sub(inline, folder.joinpath("index.html").read_text(encoding="utf-8"))
    return Page(html, _policy(scripts=hashes["script"], styles=hashes["style"]))


def _policy(*, scripts: list[str], styles: list[str]) -> str:
    rules = {
        "default-src": ["'none'"],
        "script-src": scripts or ["'none'"],
        "style-src": styles or ["'none'"],
        "connect-src": ["'self'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
        # The page makes elements by name and text nodes, so every way from a string to markup can be shut.
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }
    return "; ".join(" ".join([name, *values]) for name, values in rules.items())


def read_api(folder: Traversable) -> dict[str, Any]:
    """The OpenAPI document of *folder*, with the version that serves it."""
    document: dict[str, Any] = json.loads(folder.joinpath("openapi.json").read_text(encoding="utf-8"))
    document["info"]["version"] = __version__
    return document


def add_pages(app: Quart) -> None:
    """Route ``/`` of *app* to the playground, ``/docs`` and ``/openapi.json`` to what the API is."""
    here = files(__package__)
    playground = read_page(here / "playground")
    reference = read_page(here / "reference")
    api = dumps(read_api(here / "reference"))

    async def conditional(response: Response) -> Response:
        await response.make_conditional(request)
        return response

    async def show_playground() -> Response:
        return await conditional(playground.response())

    async def show_reference() -> Response:
        return await conditional(reference.response())

    async def show_api() -> Response:
        return Response(api, content_type="application/json")

    for path, view in (("/", show_playground), ("/docs", show_reference), ("/openapi.json", show_api)):
        app.add_url_rule(path, view_func=view, methods=["GET"], provide_automatic_options=False)
