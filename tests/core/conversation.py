"""Messages of a conversation, for tables of tests."""

from __future__ import annotations

from typing import Any


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(**keys: object) -> dict[str, Any]:
    return {"role": "assistant", **keys}
