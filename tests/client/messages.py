"""Messages of a conversation."""

from __future__ import annotations


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}
