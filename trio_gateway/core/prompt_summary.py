"""What the user asks for, in one line, before anything has been asked of a model.

A short prompt is quoted. A longer one is mostly material (a report, code, a log) with an instruction before or after
it: the instruction is found, told as the deed it asks for ("Translating the following text into French"), and the
material is described by its kind and size. Where no instruction can be told apart, which is the normal case for
languages this module knows nothing about, the beginning is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trio_gateway.core.plain_text import cut, one_line, plain
from trio_gateway.core.prompt_material import Material, find_material, size_of
from trio_gateway.core.sentences import SentenceReader
from trio_gateway.core.verbs import VERBS, gerund

__all__ = ["summarize_prompt"]

QUOTED_WHOLE = 120
LONGEST = 300
# What is read of a longer prompt: its middle is material.
HEAD = 40_000
TAIL = 4_000
BULK_WORDS = 80

_POLITE = re.compile(
    r"(?:(?:hi|hello|hey|thanks|thank you)\b[^.!?\n]{0,30}[,.!]|please|kindly|(?:can|could|would|will) you(?: please| kindly)?|"
    r"i(?:'d| would) like (?:you )?to|i (?:want|need) (?:you )?to|i(?:'m| am) trying to|help me(?: to)?|"
    r"you (?:should|must|need to|have to|are to|are asked to)|your (?:task|job|goal|mission) is to|the (?:task|goal) is to|let's|"
    r"now|then|so|and|ok|okay|also|carefully|briefly|task:|instructions?:|question:|prompt:|problem:|user:)\s+",
    re.IGNORECASE,
)
_VERB = re.compile(r"[a-z]+(?:-[a-z]+)?(?=[\s:,.]|$)", re.IGNORECASE)
_TLDR = re.compile(r"tl;?dr\b", re.IGNORECASE)
_ROLE = re.compile(r"(?:you are|you're|act as|imagine you) ", re.IGNORECASE)
_REFERS = re.compile(
    r"\b(?:following|below|above|attached|provided)\b|\bth(?:is|ese) (?:\w+ )?(?:text|code|report|article|email|document|function|"
    r"error|paragraph|passage|paper|story|data|table|file|script|query|letter|essay|log|transcript|problem)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"请|請|帮我|幫我|总结|總結|翻译|翻譯|ください|下さい|お願い|주세요|пожалуйста|por favor|bitte|s'il vous plaît", re.IGNORECASE)
_MATERIAL_NOUN = re.compile(
    r"\b(?:the following|this|the|these|that|my|our)(?: attached| provided| above)? (?P<noun>report|article|text|document|e-?mail|essay|paper|"
    r"story|transcript|letter|passage|chapter|contract|paragraph|review|speech|post|notes|meeting notes|minutes|interview|abstract|"
    r"thread|conversation|novel|manual|specification|proposal|summary|blog post|press release)\b(?: below| above| attached)?",
    re.IGNORECASE,
)


def summarize_prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """One line of at most 300 characters that says what the last user message of *messages* asks for.

    A message of at most 120 characters, white space collapsed, is quoted whole.

    >>> summarize_prompt([{"role": "user", "content": "What is 2+2?"}])
    'Processing: "What is 2+2?"...'
    """
    at = _last_user(messages)
    if at < 0:
        return ""
    text, extras = _content(messages[at])
    extras += _tool_results(messages[at:])
    short = one_line(text) if len(text) <= 20 * QUOTED_WHOLE else ""
    if short and len(short) <= QUOTED_WHOLE:
        return _limit(f'Processing: "{short}"...' + (f" with {_listed(extras)}" if extras else ""))
    if not text.strip() or not (one_line(text[:HEAD]) or one_line(text[-TAIL:])):
        return _limit(f"Looking at {_listed(extras)}" if extras else "Processing an empty message")
    return _limit(_summarize(text, extras))


def _last_user(messages: Sequence[Mapping[str, Any]]) -> int:
    """The place of the last message of the user, of the last message at all if there is none; -1: no messages."""
    users = [at for at, message in enumerate(messages) if message.get("role") == "user"]
    return users[-1] if users else len(messages) - 1


def _content(message: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The text of a message and a few words for everything in it that is not text."""
    content = message.get("content")
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    counts: dict[str, int] = {}
    extras: list[str] = []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            continue
        kind = str(part.get("type", ""))
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(name := _file_name(part), str):
            extras.append(f"the file {cut(one_line(name), 60)}")
        else:
            noun = next((noun for noun in ("image", "audio", "video", "file") if noun in kind), "attachment")
            counts[noun] = counts.get(noun, 0) + 1
    nouns = {"audio": "audio recording"}
    extras += [_count(count, nouns.get(noun, noun)) for noun, count in counts.items()]
    return "\n\n".join(texts), extras


def _file_name(part: Mapping[str, Any]) -> object:
    inner = part.get("file")
    return (inner if isinstance(inner, Mapping) else part).get("filename")


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    count = sum(message.get("role") == "tool" for message in messages)
    return [_count(count, "tool result")] if count else []


def _count(count: int, noun: str) -> str:
    if count == 1:
        return f"{'an' if noun[0] in 'aei' else 'a'} {noun}"
    return f"{count} {noun}s"


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _limit(line: str) -> str:
    """Whatever was said before, the law is 300 characters on one line."""
    line = cut(one_line(line), LONGEST)
    return line if len(line) < LONGEST or line.count('"') % 2 == 0 else line[:-1] + '"'


def _summarize(text: str, extras: list[str]) -> str:
    materials, words = find_material(text if len(text) <= HEAD else text[:HEAD] + "\n\n" + text[-TAIL:])
    deed, bulk = _deed(words)
    trace = next((item for item in materials if item.kind == "trace"), None)
    if trace:
        verb = deed.split(" ", 1)[0] if deed.startswith(("Explaining", "Debugging")) else "Fixing"
        deed = f"{verb} {trace.label}"
    elif bulk:
        size = size_of(text, joined=True)
        deed, told = _MATERIAL_NOUN.subn(lambda found: f"a {size} {found['noun'].lower()}", deed, count=1)
        if not told:
            extras = [*extras, size_of(text)]
    details = [item.label for item in materials if item is not trace] + extras
    return _with_details(deed, details)


def _with_details(deed: str, details: list[str]) -> str:
    suffix = f" ({', '.join(dict.fromkeys(details[:4]))})" if details else ""
    return cut(deed, LONGEST - len(suffix)) + suffix


def _deed(words: str) -> tuple[str, bool]:
    """The instruction as a deed, and whether the rest of the words is material in itself."""
    sentences = _sentences(words)
    bulk = len(words.split()) > BULK_WORDS or len(words) > 10 * BULK_WORDS
    if not sentences:
        return "Looking", False
    best = max(range(len(sentences)), key=lambda at: (_asking(sentences, at), -at))
    asked = sentences[best]
    if deed := _as_deed(asked):
        return deed, bulk
    if asked.endswith(("?", "？")):
        return f'Answering: "{_quotable(asked, 220)}"', bulk
    start = asked if _asking(sentences, best) >= 2 else " ".join(sentences[:3])
    return f'Processing: "{_quotable(start, 220)}"', bulk


def _sentences(words: str) -> list[str]:
    """The first and the last sentences: in between stands material."""
    found: list[str] = []
    for part in (words,) if len(words) <= 3000 else (words[:1500], words[-1500:]):
        reader = SentenceReader()
        reader.feed(part)
        found += [plain(sentence.text) for sentence in reader.take(final=True)]
    found = [sentence for sentence in found if len(sentence) > 3]
    return found if len(found) <= 8 else found[:4] + found[-3:]


def _asking(sentences: list[str], at: int) -> int:
    sentence = sentences[at]
    marks = (
        3 * bool(_as_deed(sentence)),
        2 * sentence.endswith(("?", "？")),
        2 * bool(_ASKS.search(sentence)),
        bool(_REFERS.search(sentence)),
        sentence.endswith((":", "：")),
        at == 0,
        at == len(sentences) - 1,
        -3 * bool(_ROLE.match(sentence)),
        -(len(sentence) > 250),
    )
    return sum(marks)


def _as_deed(sentence: str) -> str:
    """ "Please translate this into French:" is "Translating this into French"; "" where no verb is known."""
    if _TLDR.match(sentence):
        return "Summarising the text"
    text = sentence
    while found := _POLITE.match(text):
        text = text[found.end() :]
    verb = _VERB.match(text)
    if verb is None or verb[0].lower() not in VERBS:
        return ""
    doing = gerund(verb[0].lower())
    return (doing[0].upper() + doing[1:] + text[verb.end() :]).rstrip(" .:;,!?")


def _quotable(text: str, width: int) -> str:
    """A part of the prompt between our own double quotes."""
    return cut(text.replace('"', "'"), width)
