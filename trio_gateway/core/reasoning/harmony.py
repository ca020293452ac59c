"""The channel format of gpt-oss, where an upstream passes it on raw.

``<|start|>assistant<|channel|>analysis<|message|>…<|end|>``: a header says whose message follows and on which
channel; ``analysis`` is reasoning, ``commentary`` with a recipient (``to=functions.NAME``) a tool call,
anything else output. The prompt ends with ``<|start|>assistant``, so the first header lacks it.
"""

from __future__ import annotations

import re
from enum import Enum

from .markers import Kind, Marker, MarkerSearch

__all__ = ["HARMONY", "Channel", "read_header"]

_FIELD = r"[^<]{0,200}"
_HEADER = (
    rf"(?:<\|start\|>{_FIELD})?<\|channel\|>{_FIELD}(?:<\|constrain\|>{_FIELD})?<\|message\|>"
    rf"|<\|start\|>{_FIELD}<\|message\|>"
)
_TOKENS = [f"<|{name}|>" for name in ("start", "channel", "constrain", "message", "end", "return", "call")]
_TOKEN_BEGUN = "|".join(sorted({re.escape(token[:n]) for token in _TOKENS for n in range(1, len(token))}))
_HEADER_BEGUN = re.compile(
    rf"(?:<\|start\|>{_FIELD})?(?:<\|channel\|>{_FIELD}(?:<\|constrain\|>{_FIELD})?)?(?:{_TOKEN_BEGUN})?"
)
# A role that the end of the stream cuts off belongs to its token.
_CONTROL = r"<\|(?:end|return|call)\|>|<\|start\|>(?:[a-z]{1,16}\Z)?"

HARMONY = MarkerSearch(
    [
        Marker(Kind.HEADER, "<|", _HEADER, more=_HEADER_BEGUN, slack=700),
        Marker(Kind.CONTROL, "<|", _CONTROL),
    ]
)
"""The markers of the format; they are tokens of the model, so they count everywhere."""

_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")


class Channel(Enum):
    """Where the text of a message goes."""

    REASONING = "reasoning"
    TOOL = "tool"
    OUTPUT = "output"


def read_header(header: str) -> tuple[Channel, str]:
    """Where the message after *header* goes, and for a tool call the tool's name.

    >>> read_header("<|channel|>commentary to=functions.add <|constrain|>json<|message|>")
    (<Channel.TOOL: 'tool'>, 'add')
    """
    channel = _CHANNEL.search(header)
    recipient = _RECIPIENT.search(header)
    match channel[1] if channel else "final":
        case "analysis":
            return Channel.REASONING, ""
        case "commentary" if recipient:
            return Channel.TOOL, recipient[1].removeprefix("functions.")
        case _:
            return Channel.OUTPUT, ""
