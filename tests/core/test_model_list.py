import pytest

from trio_gateway.core.model_list import parse_model_ids


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
    ],
)
def test_model_ids(body: bytes, ids: list[str]) -> None:
    assert parse_model_ids(body) == ids
