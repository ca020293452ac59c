"""Reads what an upstream answers to ``GET /v1/models``."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["MAX_MODEL_ID", "parse_model_ids"]

MAX_MODEL_ID: Final = 256
"""Characters of the longest model id: a longer one is refused from clients, and dropped from lists."""


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


def parse_model_ids(body: bytes) -> list[str]:
    """The ids in an OpenAI list of models, in its order, without those that are too long.

    Where *body* is no such list there are none.

    >>> parse_model_ids(b'{"object": "list", "data": [{"id": "qwen3:8b"}]}')
    ['qwen3:8b']
    """
    try:
        entries = msgspec.json.decode(body, type=_List).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not every server has such a list, and what it has instead is of no use: it offers no models.
        return []
    return [entry.id for entry in entries if len(entry.id) <= MAX_MODEL_ID]
