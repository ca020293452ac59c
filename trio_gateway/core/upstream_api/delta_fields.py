"""Delta fields: tables of text, reasoning, output, thoughts and attributes.

Servers add fields of their own, and some of these hold the reasoning once more. So only fields known to be
output open the final output, and what may hold thoughts is kept apart from what certainly holds none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from .thought_parts import PartsError, read_parts, sealed_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHUNK_ATTRIBUTES", "NOTHING", "SOURCES", "Aside", "DeltaFields", "PartsError", "read_delta"]

Json = dict[str, Any]

NOTHING: Final[tuple[object, ...]] = (None, "", [], {})
"""Values that say nothing."""

CHUNK_ATTRIBUTES: Final = frozenset(
    {
        *("citations", "search_results", "service_tier", "system_fingerprint", "provider", "timings"),
        *("x_groq", "prompt_filter_results", "content_filter_results"),
    }
)
"""Fields of a chunk, beside its choices, that pass with the final output."""

SOURCES: Final[tuple[str, ...]] = ("citations", "search_results")
"""Those of them that a text refers to."""

_REASONING: Final = (
    *("reasoning_content", "reasoning", "reasoning_text", "reasoning_details", "thinking"),
    "thinking_blocks",
)
"""Fields of readable reasoning, in order of trust: some servers send the same text in several."""
_TEXTS: Final = frozenset({"reasoning_content", "reasoning", "reasoning_text", "thinking"})
"""Those of which nothing is left when their text has been read."""
_OUTPUT: Final = frozenset({"refusal", "tool_calls", "function_call", "audio", "images"})
"""Beside ``content``: fields that open the final output."""
_ATTRIBUTES: Final = frozenset({"annotations", "name"})
_SEALED: Final = frozenset({"signature", "thought_signature", "reasoning_opaque"})
_THOUGHTS: Final = frozenset({"reasoning_details", "thinking_blocks", "provider_specific_fields"})
_IGNORED: Final = frozenset({"role", "content"})
_EXTRA_CONTENT: Final = "extra_content"


class Aside(Struct, frozen=True):
    """What stands in a delta beside its text and its output.

    Nothing of it opens the output.
    """

    attributes: Json = {}
    """Facts about the answer; they pass with its output, once."""
    sealed: Json = {}
    """What holds no readable thoughts, as it came: it must reach the client and may come back."""
    thoughts: Json = {}
    """Fields that may hold thoughts, as they came, for a client that asked for the reasoning itself."""
    cleared: Json = {}
    """What is left of ``thoughts`` without what can be read, for any other client."""
    others: Json = {}
    """Fields that are in no table: they may hold thoughts as long as no output has come."""


class DeltaFields(Struct, frozen=True):
    """A delta, read."""

    text: str = ""
    reasoning: str = ""
    output: Json = {}
    """Fields that open the final output, as they came."""
    aside: Aside | None = None
    is_thought: bool = False
    """The upstream says that the text is a thought."""


_NO_ASIDE: Final = Aside()


def read_delta(delta: Mapping[str, Any]) -> DeltaFields:
    """Read a delta, or a whole message.

    Raises:
        PartsError: its content is neither text nor a list, or a list has more parts than are looked at.
    """
    content = delta.get("content")
    thoughts = ""
    blocks: list[Json] = []
    if type(content) is list:
        content, thoughts, blocks = read_parts(content)
    elif not (content is None or type(content) is str):
        raise PartsError("content: not a string or a list of parts")
    if not blocks and delta.keys() <= _IGNORED:
        return DeltaFields(content or "", thoughts)
    output: Json = {}
    aside = Aside({}, {}, {}, {}, {})
    is_thought = False
    for key, value in delta.items():
        if key in _IGNORED or value in NOTHING:
            continue
        if key in _OUTPUT:
            output[key] = value
        elif key in _ATTRIBUTES:
            aside.attributes[key] = value
        elif key in _SEALED:
            aside.sealed[key] = value
        elif key in _TEXTS:
            _seal_text(value, aside.sealed)
        elif key in _THOUGHTS or key.startswith("reasoning_") or key == _EXTRA_CONTENT:
            is_flag = key == _EXTRA_CONTENT and _is_thought(value)
            is_thought = is_thought or is_flag
            if key == _EXTRA_CONTENT and not is_flag:
                # Nothing of it is a thought; the signature of one must reach the client at any time.
                (aside.others if sealed_of(value) != value else aside.sealed)[key] = value
                continue
            aside.thoughts[key] = value
            if (left := sealed_of(value)) is not None:
                aside.cleared[key] = left
        else:
            aside.others[key] = value
    if blocks:
        aside.sealed["thinking_blocks"] = blocks
    reasoning = next(filter(None, (text_of(delta.get(field)) for field in _REASONING)), thoughts)
    return DeltaFields(content or "", reasoning, output, None if aside == _NO_ASIDE else aside, is_thought)


def _seal_text(value: object, sealed: Json) -> None:
    """The signature in an object that stands for text (Bedrock): as a field, since clients join the text."""
    if type(value) is dict:
        sealed.update(
            {key: value[key] for key in sorted(_SEALED & value.keys()) if value[key] not in NOTHING}
        )


def _is_thought(extra_content: object) -> bool:
    google = extra_content.get("google") if type(extra_content) is dict else None
    return type(google) is dict and google.get("thought") is True
