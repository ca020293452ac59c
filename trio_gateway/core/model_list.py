"""Reads what an upstream answers to ``GET /v1/models``."""

from __future__ import annotations

import msgspec

__all__ = ["parse_model_ids"]


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


def parse_model_ids(body: bytes) -> list[str]:
    """The ids in an OpenAI list of models, in its order; none where *body* is no such list.

    >>> parse_model_ids(b'{"object": "list", "data": [{"id": "qwen3:8b"}]}')
    ['qwen3:8b']
    """
    try:
        return [entry.id for entry in msgspec.json.decode(body, type=_List).data]
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not every server has such a list, and what it has instead is of no use: it offers no models.
        return []
