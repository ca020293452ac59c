"""Static routes: those without variables, found by one look-up.

Werkzeug's search costs 25 µs, and leaves objects behind that refer to each other, which only a collection of
garbage frees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Rule

__all__ = ["FoundRoute", "static_routes"]


class FoundRoute:
    """What stands for Werkzeug's adapter of a request whose route is known."""

    __slots__ = ("_rule",)

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def match(self, **_: object) -> tuple[Rule, dict[str, Any]]:
        """The route, and its variables: none."""
        return self._rule, {}


def static_routes(rules: Iterable[Rule]) -> dict[tuple[str, str], FoundRoute]:
    """Those of *rules* that have no variables, by path and method; a WebSocket's method is empty."""
    return {
        (rule.rule, method): FoundRoute(rule)
        for rule in rules
        if not rule.arguments
        for method in ([""] if rule.websocket else rule.methods or ())
    }
