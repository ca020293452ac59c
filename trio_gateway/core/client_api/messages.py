"""Messages: checks a conversation, and removes what must not be forwarded.

Clients send earlier answers back. Those came from this gateway, so they may begin with its summaries, and
with reasoning if the client kept it; a model that reads either as its own words imitates them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from ..errors import refusal
from ..phases import Phase
from .frames import PREFIXES
from .history_blocks import LeadingBlocks

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_messages", "clean_history"]

Message = dict[str, Any]

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
# An assistant message that says something without content.
_INSTEAD_OF_CONTENT: Final = ("tool_calls", "function_call", "refusal")

# Known content parts: each holds its payload under its own name, a string or an object with these strings.
_TEXT_PARTS: Final = ("text", "refusal")
_OBJECT_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "image_url": ("url",),
    "input_audio": ("data", "format"),
    "file": (),
}

_OURS: Final = (PREFIXES[Phase.PROMPT_SUMMARY], PREFIXES[Phase.REASONING_SUMMARY])
_BLANK_LINE = re.compile(r"\n[ \t\r]*+\n")
_COMMON_MARKERS: Final = tuple(
    (f"<{name}>", f"</{name}>") for name in ("think", "thinking", "reasoning", "reason", "thought")
)


def check_messages(messages: object, *, max_messages: int) -> list[Message]:
    """*messages* as they are, if they are a conversation.

    Roles and the content parts of the OpenAI API are checked. What only some upstreams know (other types of
    part, other keys) is left to them.

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
    role, content = message.get("role", UNSET), message.get("content", UNSET)
    if role not in _ROLES:
        raise refusal(f"{path}.role", f"one of {', '.join(_ROLES)}", role)
    calls = message.get("tool_calls")
    if not (calls is None or (isinstance(calls, list) and all(isinstance(call, dict) for call in calls))):
        raise refusal(f"{path}.tool_calls", "a list of objects", calls)
    match content:
        case str():
            pass
        case list() if content:
            for place, part in enumerate(content):
                _check_part(part, f"{path}.content[{place}]")
        case _ if content is None or content is UNSET:
            if role != "assistant" or not any(message.get(key) for key in _INSTEAD_OF_CONTENT):
                raise refusal(f"{path}.content", "a string or a list of parts", content)
        case _:
            raise refusal(f"{path}.content", "a string or a list of parts", content)


def _check_part(part: object, path: str) -> None:
    if not isinstance(part, dict):
        raise refusal(path, "an object", part)
    kind = part.get("type", UNSET)
    if not isinstance(kind, str):
        raise refusal(f"{path}.type", "a string", kind)
    payload = part.get(kind, UNSET)
    if kind in _TEXT_PARTS and not isinstance(payload, str):
        raise refusal(f"{path}.{kind}", "a string", payload)
    if kind in _OBJECT_PARTS:
        if not isinstance(payload, dict):
            raise refusal(f"{path}.{kind}", "an object", payload)
        for key in _OBJECT_PARTS[kind]:
            if not isinstance(payload.get(key), str):
                raise refusal(f"{path}.{kind}.{key}", "a string", payload.get(key, UNSET))


def clean_history(
    messages: Sequence[Message], *, keep_reasoning: bool, markers: Sequence[tuple[str, str]] = ()
) -> list[Message]:
    """*messages* with each assistant's content freed of our summaries and of the reasoning it begins with.

    *keep_reasoning*: leave the reasoning. *markers*: the model's own, besides the common tags.
    """
    blocks = None if keep_reasoning else _blocks(tuple(markers))
    return [_clean(message, blocks) if message["role"] == "assistant" else message for message in messages]


@lru_cache(maxsize=256)
def _blocks(markers: tuple[tuple[str, str], ...]) -> LeadingBlocks:
    """The blocks of a model with these markers; kept, as compiling their patterns takes a moment."""
    return LeadingBlocks((*markers, *_COMMON_MARKERS))


def _clean(message: Message, blocks: LeadingBlocks | None) -> Message:
    message = {
        key: value
        for key, value in message.items()
        if not (
            key in ("reasoning_content", "reasoning") and isinstance(value, str) and value.startswith(_OURS)
        )
    }
    match message.get("content"):
        case str(text):
            message["content"] = _clean_text(text, blocks)
        case list(parts):
            message["content"] = _clean_parts(parts, blocks)
    return message


def _clean_text(text: str, blocks: LeadingBlocks | None) -> str:
    for prefix in _OURS:
        if text.startswith(prefix):
            end = _BLANK_LINE.search(text)  # none: the answer broke off before the next phase
            text = text[end.end() :] if end else ""
    return text[blocks.end(text) :] if blocks else text


def _clean_parts(parts: list[Message], blocks: LeadingBlocks | None) -> list[Message] | str:
    """Clean from the head on: a part of which nothing is left goes, and the next one is the head."""
    for place, part in enumerate(parts):
        text = part["text"] if part["type"] == "text" else ""
        left = _clean_text(text, blocks)
        if left == text:
            return parts[place:]
        if left:
            return [{**part, "text": left}, *parts[place + 1 :]]
    return ""
