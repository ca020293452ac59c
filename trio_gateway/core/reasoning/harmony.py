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
_FIELDS = 5
"""Fields of a header at most: models repeat the channel, or put free text between."""
_PART = rf"<\|(?:start|channel|constrain)\|>{_FIELD}"
_HEADER = rf"(?:{_PART}){{1,{_FIELDS}}}<\|message\|>"
_TOKENS = [f"<|{name}|>" for name in ("start", "channel", "constrain", "message", "end", "return", "call")]
_TOKEN_BEGUN = "|".join(sorted({re.escape(token[:n]) for token in _TOKENS for n in range(1, len(token))}))
_HEADER_BEGUN = re.compile(rf"(?:{_PART}){{0,{_FIELDS}}}(?:{_TOKEN_BEGUN})?")
# A role that the end of the stream cuts off belongs to its token.
_CONTROL = r"<\|(?:end|return|call)\|>|<\|start\|>(?:[a-z]{1,16}\Z)?"

HEADER = Marker(Kind.HEADER, "<|", _HEADER, more=_HEADER_BEGUN, slack=_FIELDS * 220)
"""What a message begins with."""
HARMONY = MarkerSearch([HEADER, Marker(Kind.CONTROL, "<|", _CONTROL)])
"""The markers of the format; they are tokens of the model, so they count everywhere."""

# Servers that strip the tokens leave the words between them: "analysisWe need …assistantfinalThe answer".
_RECIPIENT_PART = r" {0,2}to=[\w.-]{1,99}"
_ARGUMENTS = r"\s{0,4}(?:json|code)?\s{0,4}"
_NEXT = rf"assistant(?:analysis|final|commentary(?:{_RECIPIENT_PART}{_ARGUMENTS}(?=\{{)|(?! {{0,2}}to=)))"
_WORDS = ("assistantanalysis", "assistantfinal", "assistantcommentary")
_WORD_BEGUN = "|".join(sorted({word[:n] for word in _WORDS for n in range(9, len(word))}))
_NEXT_BEGUN = re.compile(
    rf"(?:{_WORD_BEGUN})|assistantcommentary(?: {{0,2}}(?:t|to|to=)?|{_RECIPIENT_PART}\s{{0,4}}"
    rf"(?:j|js|jso|json|c|co|cod|code)?\s{{0,4}})"
)
STRIPPED_HEAD = Marker(
    Kind.HEADER, "analysis", r"""analysis(?=[\w"'(“‘])""", more=re.compile("analysis"), slack=1
)
"""The same at the head of an answer whose tokens were stripped."""
STRIPPED = MarkerSearch([Marker(Kind.HEADER, "assistant", _NEXT, more=_NEXT_BEGUN, slack=140)])
"""And behind it."""

_CHANNEL = re.compile(r"<\|channel\|>\s{0,99}(\w{1,99})")
_STRIPPED_CHANNEL = re.compile(r"(?:assistant)?(analysis|final|commentary)")
_RECIPIENT = re.compile(r"\bto=([^\s<]{1,200})")
_NO_TOOLS = ("assistant", "user", "all")


class Channel(Enum):
    """Where the text of a message goes."""

    REASONING = "reasoning"
    TOOL = "tool"
    OUTPUT = "output"


def read_header(header: str) -> tuple[Channel, str]:
    """Where the message after *header* goes, and for a tool call the tool's name. Of several channels the
    last one counts.

    >>> read_header("<|channel|>commentary to=functions.add <|constrain|>json<|message|>")
    (<Channel.TOOL: 'tool'>, 'add')
    """
    header = header.strip()
    stripped = _STRIPPED_CHANNEL.match(header)
    channels = [stripped[1]] if stripped else _CHANNEL.findall(header)
    found = _RECIPIENT.search(header)
    recipient = found[1] if found and found[1] not in _NO_TOOLS else ""
    match channels[-1] if channels else "final":
        case "commentary" if recipient:
            return Channel.TOOL, recipient.removeprefix("functions.")
        case _ if recipient.startswith("functions."):
            return Channel.TOOL, recipient.removeprefix("functions.")
        case "analysis":
            return Channel.REASONING, ""
        case _:
            return Channel.OUTPUT, ""
