"""Static routes: the same routes as Werkzeug finds, where there are no variables; nothing where there are."""

from __future__ import annotations

import pytest
from werkzeug.routing import Map, Rule

from tests.support import open_gateway, settings
from trio_gateway.server.static_routes import static_routes


def rules() -> list[Rule]:
    return [
        Rule("/a", endpoint="a", methods=["POST"]),
        Rule("/a", endpoint="socket", websocket=True),
        Rule("/b", endpoint="b", methods=["GET"]),
        Rule("/c/<name>", endpoint="c", methods=["GET"]),
    ]


FOUND: dict[tuple[str, str], str | None] = {
    ("/a", "POST"): "a",
    ("/a", "GET"): None,
    ("/a", ""): "socket",
    ("/b", ""): None,
    ("/b", "GET"): "b",
    ("/b", "HEAD"): "b",
    ("/c/x", "GET"): None,
    ("/c/<name>", "GET"): None,
    ("/none", "GET"): None,
}


@pytest.mark.parametrize(("place", "endpoint"), FOUND.items(), ids=map(" ".join, FOUND))
def test_what_is_found(place: tuple[str, str], endpoint: str | None) -> None:
    found = static_routes(Map(rules()).iter_rules()).get(place)
    assert (None if found is None else found.match(return_rule=True)[0].endpoint) == endpoint
    assert found is None or found.match()[1] == {}


async def test_every_other_path_and_method_is_refused_as_before() -> None:
    async with open_gateway(settings()) as client:
        for method, path, status in (
            ("GET", "/health/live", 200),
            ("HEAD", "/health/live", 200),
            ("POST", "/health/live", 405),
            ("GET", "/health//live/", 200),
            ("GET", "/v1/models/none", 404),
            ("DELETE", "/v1/chat/completions", 405),
            ("GET", "/none", 404),
        ):
            response = await client.request(method, path)
            assert (method, path, response.status_code) == (method, path, status)
