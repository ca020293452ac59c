"""Reads what an upstream answers to ``GET /v1/models``."""

from __future__ import annotations

from typing import Final

import msgspec

from ..client_api.request import MAX_MODEL_ID

__all__ = ["MAX_LIST", "MAX_MODELS", "MAX_VALUES", "parse_model_ids"]

MAX_LIST: Final = 4 * 1024 * 1024
"""Bytes of a list: larger than any seen (a router with 3,000 entries sends 1.5 MB)."""
MAX_VALUES: Final = 250_000
"""JSON values of a list: those 3,000 entries have 40 each. So many are decoded within 10 ms."""
MAX_MODELS: Final = 500
"""Models taken from one upstream: they become labels of metrics, which must stay few."""


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


def parse_model_ids(body: bytes) -> list[str]:
    """The ids in an OpenAI list of models, in its order, without those that are too long.

    Where *body* is no such list there are none.

    Ids that are empty or too long, or that hold anything but visible characters and blanks, are left out; of
    the rest the first 500 are taken.

    >>> parse_model_ids(b'{"object": "list", "data": [{"id": "qwen3:8b"}]}')
    ['qwen3:8b']
    """
    try:
        ids = (entry.id for entry in msgspec.json.decode(body, type=_List).data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not every server has such a list, and what it has instead is of no use: it offers no models.
        return []
    return [name for name in ids if 0 < len(name) <= MAX_MODEL_ID and name.isprintable()][:MAX_MODELS]
