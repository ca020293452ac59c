"""History: removes from earlier answers what must not go upstream.

Clients send earlier answers back. Those came from this gateway, so they may begin with its summaries, and
with reasoning if the client kept it; a model that reads either as its own words imitates them. Reasoning in
fields of its own passes, but for our summaries: tool loops, and models that keep their thoughts, need it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..client_api.frames import PREFIXES
from ..phases import Phase
from .history_blocks import LeadingBlocks
from .thought_parts import THOUGHT_TYPES, PartsError, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["blocks_of", "clean_history", "content_text", "lacks_reasoning"]

Message = dict[str, Any]

_OURS: Final = (PREFIXES[Phase.PROMPT_SUMMARY], PREFIXES[Phase.REASONING_SUMMARY])
_REASONING: Final = frozenset(
    {"reasoning_content", "reasoning", "reasoning_text", "reasoning_details", "thinking", "thinking_blocks"}
)
# What a message says of itself, apart from what it says.
_ABOUT_THE_MESSAGE: Final = ("role", "name", "prefix")
_BLANK_LINE = re.compile(r"\n[ \t\r]*+\n")
_COMMON_MARKERS: Final = tuple(
    (f"<{name}>", f"</{name}>") for name in ("think", "thinking", "reasoning", "reason", "thought")
)


def clean_history(
    messages: Sequence[Message],
    *,
    keep_reasoning: bool,
    markers: Sequence[tuple[str, str]] = (),
    fill_reasoning: bool = False,
) -> list[Message]:
    """*messages* with each assistant's content freed of our summaries and of the reasoning it begins with.

    *keep_reasoning*: leave the reasoning; it is left in the last message in any case, as that may be the
    beginning of the answer. If nothing is left of the last message, it is left out. *markers*: the model's
    own, besides the common tags. *fill_reasoning*: tool calls without reasoning get an empty one beside them.
    """
    blocks = blocks_of(markers)
    cleaned = [
        _clean(message, blocks, keep=keep_reasoning or message is messages[-1], fill=fill_reasoning)
        if message["role"] == "assistant"
        else message
        for message in messages
    ]
    if len(cleaned) > 1 and cleaned[-1] != messages[-1] and not _says_something(cleaned[-1]):
        cleaned.pop()
    return cleaned


def lacks_reasoning(messages: Sequence[Message]) -> bool:
    """Whether tool calls of an earlier answer stand without the reasoning that led to them."""
    return any(
        message["role"] == "assistant" and _lacks_reasoning(_without_our_fields(message))
        for message in messages
    )


def blocks_of(markers: Sequence[tuple[str, str]]) -> LeadingBlocks:
    """The blocks of a model with these *markers*, and those between the common tags."""
    return _blocks(tuple(markers))


@lru_cache(maxsize=256)
def _blocks(markers: tuple[tuple[str, str], ...]) -> LeadingBlocks:
    # Kept, as compiling their patterns takes a moment.
    return LeadingBlocks((*markers, *_COMMON_MARKERS))


def content_text(content: object) -> str:
    """The text of a message's content, parts of text joined.

    >>> content_text([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}])
    'ab'
    """
    if isinstance(content, list):
        return "".join(map(_text_of, content))
    return content if isinstance(content, str) else ""


def _clean(message: Message, blocks: LeadingBlocks, *, keep: bool, fill: bool) -> Message:
    message = _without_our_fields(message)
    match message.get("content"):
        case str(text):
            message["content"] = _clean_text(text, blocks, keep=keep)
        case list(parts):
            message["content"] = _clean_parts(parts, blocks, keep=keep)
    if fill and _lacks_reasoning(message):
        message["reasoning_content"] = ""
    return message


def _without_our_fields(message: Message) -> Message:
    cleaned = dict(message)
    for key in _REASONING & message.keys():
        value = message[key]
        if not isinstance(value, list):
            if _is_ours(value):
                del cleaned[key]
        elif len(left := [entry for entry in value if not _is_ours(entry)]) < len(value):
            cleaned[key] = left
            if not left:
                del cleaned[key]
    return cleaned


def _is_ours(thought: object) -> bool:
    """Whether *thought*, of any shape that reasoning has, is a summary of the gateway's."""
    try:
        return text_of(thought).startswith(_OURS)
    except PartsError:  # it has more parts than any of ours
        return False


def _is_our_thought(part: object) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind in THOUGHT_TYPES and _is_ours(part)


def _lacks_reasoning(message: Message) -> bool:
    return bool(message.get("tool_calls")) and message.get("reasoning_content") is None


def _says_something(message: Message) -> bool:
    return any(value for key, value in message.items() if key not in _ABOUT_THE_MESSAGE)


def _clean_text(text: str, blocks: LeadingBlocks, *, keep: bool) -> str:
    text = _without_summaries(text)
    return _without_summaries_in_block(text, blocks) if keep else text[blocks.end(text) :]


def _without_summaries(text: str) -> str:
    """*text* without the summaries at its head. One whose blank line is gone stays: it has no certain end."""
    for prefix in _OURS:
        if text.startswith(prefix) and (end := _BLANK_LINE.search(text)):
            text = text[end.end() :]
    return text


def _without_summaries_in_block(text: str, blocks: LeadingBlocks) -> str:
    """*text* without the summaries at the head of its leading block, where some clients put them."""
    if not any(prefix in text for prefix in _OURS) or (block := blocks.first(text)) is None:
        return text
    inside = text[block.inside : block.inside_end]
    thoughts = inside.lstrip()
    left = _without_summaries(thoughts)
    if block.end is not None and _ends_with_summary(left):
        left = ""
    if left == thoughts:
        return text
    if block.end is not None and not left.strip():
        return text[block.end :].lstrip()  # an empty block would say that nothing was thought
    return text[: block.inside] + inside[: len(inside) - len(thoughts)] + left + text[block.inside_end :]


def _ends_with_summary(thoughts: str) -> bool:
    """Whether all that is left of a closed block is a summary: its end is the block's.

    That of the prompt has one line, so that others behind it, their blank line squeezed out, may be thoughts.
    """
    prompt, reasoning = _OURS
    return thoughts.startswith(reasoning) or (thoughts.startswith(prompt) and "\n" not in thoughts.strip())


def _clean_parts(parts: list[Any], blocks: LeadingBlocks, *, keep: bool) -> list[Any] | str:
    """Clean from the head on: a part of which nothing is left goes, and the next one is the head."""
    for place, part in enumerate(parts):
        if _is_our_thought(part):
            continue
        text = _text_of(part)
        left = _clean_text(text, blocks, keep=keep)
        if left == text:
            return parts[place:]
        if left:
            return [{**part, "text": left}, *parts[place + 1 :]]
    return "" if parts else parts


def _text_of(part: object) -> str:
    """The text of a content part; empty where it is another kind of part, whatever its shape."""
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    return text if isinstance(text, str) else ""
