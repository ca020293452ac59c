"""Paths: spell a request's path in one way, and name the nearest route."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Rule

__all__ = ["nearest_route", "other_api", "settled_path"]

_SLASHES: Final = re.compile(r"//+")
# Some clients leave out the version, others add it to the base URL themselves.
_UNVERSIONED: Final = {
    "/chat/completions": "/v1/chat/completions",
    "/openai/chat/completions": "/openai/v1/chat/completions",
}
# What clients of other APIs ask for first, without "/openai" and "/v1" before it.
_OTHER_APIS: Final = {
    "responses": "OpenAI's Responses API",
    "messages": "Anthropic's Messages API",
    "embeddings": "the embeddings API",
    "moderations": "the moderations API",
    "audio": "the audio API",
    "images": "the images API",
    "files": "the files API",
    "batches": "the batches API",
    "assistants": "OpenAI's Assistants API",
    "threads": "OpenAI's Assistants API",
    "rerank": "the rerank API",
    "api/chat": "Ollama's own API",
    "api/generate": "Ollama's own API",
    "api/tags": "Ollama's own API",
}
_BASES: Final = frozenset({"openai", "v1"})
_LOOKED_AT: Final = 100
"""Characters of a wrong path that are compared with the routes: more than any of these has."""
_LIKE: Final = 0.6
"""Likeness from which on a route may be meant; 1 is equal."""


def settled_path(path: str) -> str:
    """*path* as the routes spell it: without doubled and trailing slashes, without an origin before it, and
    chat paths with their version.

    >>> settled_path("/v1//chat/completions/"), settled_path("//"), settled_path("http://host/v1/models")
    ('/v1/chat/completions', '/', '/v1/models')
    """
    if not path.startswith("/"):
        try:
            path = urlsplit(path).path
        except ValueError:
            return "/" + path  # nothing is served there
    if "//" in path:
        path = _SLASHES.sub("/", path)
    path = path.rstrip("/") or "/"
    return _UNVERSIONED.get(path, path)


def other_api(path: str) -> str | None:
    """The name of a known API that *path* belongs to, which the gateway does not offer.

    >>> other_api("/v1/messages/count_tokens"), other_api("/openai/v1/responses"), other_api("/v1/chat")
    ("Anthropic's Messages API", "OpenAI's Responses API", None)
    """
    segments = path[:_LOOKED_AT].strip("/").split("/")
    while segments and segments[0] in _BASES:
        del segments[0]
    return _OTHER_APIS.get("/".join(segments[:1])) or _OTHER_APIS.get("/".join(segments[:2]))


def nearest_route(path: str, method: str | None, rules: Iterable[Rule]) -> str | None:
    """Method and path of the route that is spelled most like *path*; None where none is like it.

    A route that goes on where *path* ends comes before any other. *method* is None for the upgrade to a
    WebSocket. Of two that are nearly as like, the one that takes *method* is meant.
    """
    path = path[:_LOOKED_AT]
    matcher = SequenceMatcher(None, "", path, autojunk=False)

    def likeness(rule: Rule) -> float:
        spellings = [rule.rule, *(short for short, whole in _UNVERSIONED.items() if whole == rule.rule)]
        taken = _takes(rule, method)
        if any(spelling.startswith(f"{path}/") for spelling in spellings):
            return 2 + taken - len(rule.rule) / _LOOKED_AT
        matcher.set_seq1(rule.rule)
        return matcher.ratio() + taken / 10

    rule = max((rule for rule in rules if not rule.arguments and rule.rule != "/"), key=likeness)
    if likeness(rule) < _LIKE:
        return None
    shown = method if method and _takes(rule, method) else min(rule.methods or {"GET"})
    return f"{shown} {rule.rule}"


def _takes(rule: Rule, method: str | None) -> bool:
    return rule.websocket if method is None else not rule.websocket and method in (rule.methods or ())
