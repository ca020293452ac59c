"""The table of client APIs: what each path stands for, and that the server takes its routes from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_gateway.core.client_api import FORMATS, OPEN_PATHS, format_of_path
from trio_gateway.server.app import GatewayApp
from trio_gateway.server.load_settings import load_settings

if TYPE_CHECKING:
    from trio_gateway.core.client_api.request import FormatName


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/openai/v1/chat/completions", "openai"),
        ("/openai/v1/models", "openai"),
        ("/openai", "openai"),
        ("/openai2/v1/models", None),
        ("/v1/chat/completions", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_path_stands_for_a_format(path: str, name: FormatName | None) -> None:
    found = format_of_path(path)
    assert (None if found is None else found.name) == name


def test_no_path_stands_for_two() -> None:
    paths = [*OPEN_PATHS, *(path for entry in FORMATS.values() for path in entry.paths)]
    assert len(paths) == len(set(paths))


def test_the_server_has_a_route_for_each_path() -> None:
    app = GatewayApp(load_settings(environ={}))
    rules = {(rule.rule, rule.websocket) for rule in app.url_map.iter_rules()}
    paths = [*OPEN_PATHS, *(path for entry in FORMATS.values() for path in entry.paths)]
    assert {(path, socket) for path in paths for socket in (False, True)} <= rules
