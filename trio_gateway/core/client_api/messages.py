"""Messages: checks that a conversation has the form that the gateway reads."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from ..errors import refusal

__all__ = ["check_messages"]

Message = dict[str, Any]


def check_messages(messages: object, *, max_messages: int) -> list[Message]:
    """*messages* as they are, if they are a conversation that can be read here.

    Checked is what the gateway itself reads: that each is an object with a role, and whether its content is
    text or a list. Which roles there are, what parts look like and which message may be empty differs from
    one upstream to another, and is left to them.

    Raises:
        RequestError: they are not; it names the place.
    """
    if not isinstance(messages, list) or not messages:
        raise refusal("messages", "a list of at least one message", messages)
    if len(messages) > max_messages:
        raise refusal("messages", f"at most {max_messages} messages", len(messages))
    for place, message in enumerate(messages):
        _check_message(message, f"messages[{place}]")
    return messages


def _check_message(message: object, path: str) -> None:
    if not isinstance(message, dict):
        raise refusal(path, "an object", message)
    role, content = message.get("role", UNSET), message.get("content")
    if not isinstance(role, str):
        raise refusal(f"{path}.role", "a string", role)
    if not (content is None or isinstance(content, str | list)):
        raise refusal(f"{path}.content", "a string or a list of parts", content)
