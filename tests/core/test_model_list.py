import json

import pytest

from trio_gateway.core.upstream_api.model_list import MAX_MODELS, parse_model_ids


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"object": "list", "data": [{"id": "a", "x": 1}, {"id": "b/c"}]}', ["a", "b/c"]),
        (b'{"data": []}', []),
        (b'{"data": [{"id": "%s"}, {"id": "%s"}]}' % (b"a" * 257, b"b" * 256), ["b" * 256]),
        (b'{"data": [{"name": "a"}]}', []),
        (b'{"models": []}', []),
        (b"<html>", []),
        (b'{"data": [{"id": "\xff"}]}', []),
        (b"", []),
        (
            b'{"data": [{"id": ""}, {"id": "a b"}, {"id": "a\\u0000b"}, {"id": "\\u202eb"}, {"id": "a\\nb"}]}',
            ["a b"],
        ),
    ],
)
def test_model_ids(body: bytes, ids: list[str]) -> None:
    assert parse_model_ids(body) == ids


def test_a_list_is_bounded() -> None:
    names = ["x" * 257, "y" * 256, *(f"model-{number}" for number in range(600))]
    body = json.dumps({"data": [{"id": name} for name in names]}).encode()
    assert parse_model_ids(body) == [*names[1 : MAX_MODELS + 1]]
    assert MAX_MODELS == 500
