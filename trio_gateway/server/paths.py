"""Paths: spell a request's path in one way, and name the nearest route."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Rule

__all__ = ["nearest_route", "settled_path"]

_SLASHES: Final = re.compile(r"//+")
# Some clients leave out the version, others add it to the base URL themselves.
_UNVERSIONED: Final = {
    "/chat/completions": "/v1/chat/completions",
    "/openai/chat/completions": "/openai/v1/chat/completions",
}
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


def nearest_route(path: str, method: str | None, rules: Iterable[Rule]) -> str | None:
    """Method and path of the route that is spelled most like *path*; None where none is like it.

    *method* is None for the upgrade to a WebSocket. Of two that are nearly as like, the one that takes
    *method* is meant.
    """
    matcher = SequenceMatcher(None, "", path[:_LOOKED_AT], autojunk=False)

    def likeness(rule: Rule) -> float:
        matcher.set_seq1(rule.rule)
        return matcher.ratio() + _takes(rule, method) / 10

    rule = max((rule for rule in rules if not rule.arguments and rule.rule != "/"), key=likeness)
    if likeness(rule) < _LIKE:
        return None
    shown = method if method and _takes(rule, method) else min(rule.methods or {"GET"})
    return f"{shown} {rule.rule}"


def _takes(rule: Rule, method: str | None) -> bool:
    return rule.websocket if method is None else not rule.websocket and method in (rule.methods or ())
