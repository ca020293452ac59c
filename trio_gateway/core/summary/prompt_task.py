"""Prompt task: finds the instruction in a prompt and names its deed.

The instruction mostly stands in the first or in the last sentences, begins with a verb ("Please translate…"),
asks a question, or points at the material ("the following report"). Where none of this is found, which is the
normal case for languages this module knows nothing about, the beginning is quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .frame_words import ENGLISH, Frames
from .plain_text import cut, plain
from .sentences import SentenceReader
from .steps import Steps, at_once
from .terms import is_cjk
from .verbs import VERBS, gerund

__all__ = ["Task", "find_task", "task_steps"]

QUOTED = 220
"""Longest quotation from a prompt, in characters."""
BULK = 80
BULK_CHARACTERS = 800
BULK_CJK = 240
"""Words and characters from which on what stands around the instruction is material itself."""
FIRST = 4
LAST = 4
"""Sentences of a text that are compared."""
READ = 1500
"""Characters at either end of a long text in which the instruction is looked for."""

_POLITE = re.compile(
    r"(?:(?:hi|hello|hey|thanks|thank you)\b[^.!?\n]{0,30}[,.!]|please|kindly|help me(?: to)?|let's|now|then"
    r"|so|(?:can|could|would|will) you(?: please| kindly)?|i(?:'d| would) like (?:you )?to|carefully|briefly"
    r"|i(?:'m| am) trying to|i (?:want|need) (?:you )?to|and|ok|okay|also"
    r"|you (?:should|must|need to|have to|are to|are asked to)"
    r"|your (?:task|job|goal|mission) is to|the (?:task|goal) is to"
    r"|(?:task|instructions?|question|prompt|problem|user):)\s+",
    re.IGNORECASE,
)
_VERB = re.compile(r"[a-z]+(?:-[a-z]+)?(?=[\s:,.]|$)", re.IGNORECASE)
_TO_YOU = re.compile(r"you\b", re.IGNORECASE)
_TLDR = re.compile(r"tl;?dr\b", re.IGNORECASE)
_ROLE = re.compile(r"(?:you are|you're|act as|imagine you) ", re.IGNORECASE)
_POINTERS = ("following", "below", "above", "attached", "provided", "this ", "these ")
"""One of these stands in what :data:`_REFERS` matches: a sentence without them need not be searched."""
_REFERS = re.compile(
    r"\b(?:following|below|above|attached|provided)\b|\bth(?:is|ese) (?:\w+ )?(?:text|code|report|article|"
    r"email|document|function|error|paragraph|passage|paper|story|data|table|file|script|query|letter|essay|"
    r"log|problem)\b",
    re.IGNORECASE,
)
_ASKS_TABLE = """
请 請 帮我 幫我 总结 總結 翻译 翻譯 ください 下さい お願い 주세요 пожалуйста por_favor bitte s'il_vous_plaît
"""
_ASKS = tuple(words.replace("_", " ") for words in _ASKS_TABLE.split())
_LABEL = re.compile(r"(?:problem|question|task|exercise|q)\s*\d*[:.]\s*", re.IGNORECASE)
_PROBLEM = re.compile(r"\b(?:problem|question|exercise|puzzle|task)s?\b", re.IGNORECASE)
_FURTHER = re.compile(
    r"(\b(?:and|then) (?:then )?)(add|convert|decline|describe|ensure|explain|fix|give|highlight|identify|"
    r"include|keep|leave|list|make|provide|remove|return|show|sort|suggest|summari[sz]e|tell|translate|use|write)\b"
)
_PLEASE = re.compile(r",? please$", re.IGNORECASE)
_MINE = {"my": "your", "me": "you", "our": "your", "us": "you"}
_MINE_WORD = re.compile(r"\b(?:my|me|our|us)\b")


@dataclass(frozen=True, slots=True)
class Task:
    """A deed with its verb in front, or a quotation."""

    deed: str
    bulk: bool


def find_task(words: str, frames: Frames = ENGLISH) -> Task | None:
    """The task in the words of a prompt, material taken out, with *frames* around what is quoted; None where
    there are no words."""
    return at_once(task_steps(words, frames))


def task_steps(words: str, frames: Frames = ENGLISH) -> Steps[Task | None]:
    """:func:`find_task` in slices."""
    sentences = yield from _sentences(words)
    if not sentences:
        return None
    deeds, scores = [], []
    for at, sentence in enumerate(sentences):
        deeds.append(_as_deed(sentence))
        scores.append(_asking(sentence, deeds[at], first=at == 0, last=at == len(sentences) - 1))
        yield
    best = scores.index(max(scores))
    bulk = _is_bulk(words)
    if frames.english and (deed := deeds[best]):
        return Task(_shortened(deed) if bulk else _completed(deed, sentences, best), bulk)
    if _is_question(sentences[best]):
        return Task(f'{frames.answering}"{_question(sentences, best, alone=bulk)}"', bulk)
    start = sentences[best] if scores[best] >= 2 else " ".join(sentences[:3])
    return Task(f'{frames.processing}"{_quotable(start, QUOTED)}"', bulk)


def _sentences(words: str) -> Steps[list[str]]:
    """The first and the last sentences: in between stands material."""
    found: list[str] = []
    for part in (words,) if len(words) <= 2 * READ else (words[:READ], words[-READ:]):
        reader = SentenceReader()
        reader.feed(part)
        found += [sentence.text for sentence in reader.take(final=True) if not sentence.code]
        yield
    ends = found if len(found) <= FIRST + LAST else found[:FIRST] + found[-LAST:]
    sentences = []
    for sentence in ends:
        sentences.append(plain(sentence))
        yield
    return [sentence for sentence in sentences if len(sentence) > 3]


def _is_bulk(words: str) -> bool:
    characters = BULK_CJK if is_cjk(words[:READ]) else BULK_CHARACTERS
    return len(words) > characters or len(words.split()) > BULK


def _asking(sentence: str, deed: str, *, first: bool, last: bool) -> int:
    """How much a sentence, which asks for *deed* if for any, looks like the instruction."""
    small = sentence.lower()
    marks = (
        3 * bool(deed),
        2 * _is_question(sentence),
        2 * any(words in small for words in _ASKS),
        any(word in small for word in _POINTERS) and bool(_REFERS.search(sentence)),
        sentence.endswith((":", "：")),
        first,
        last,
        -3 * bool(_ROLE.match(sentence)),
        -(len(sentence) > 250),
    )
    return sum(marks)


def _is_question(sentence: str) -> bool:
    return sentence.endswith(("?", "？"))


def _as_deed(sentence: str) -> str:
    """ "Please translate this into French:" is "Translating this into French"; "" where no verb is known."""
    if _TLDR.match(sentence):
        return "Summarising this text"
    start = 0
    while found := _POLITE.match(sentence, start):
        start = found.end()
    verb = _VERB.match(sentence, start)
    if verb is None or verb[0].lower() not in VERBS:
        return ""
    rest = _MINE_WORD.sub(lambda word: _MINE[word[0]], sentence[verb.end() :])
    rest = _FURTHER.sub(lambda further: further[1] + gerund(further[2]), rest)
    deed = _PLEASE.sub("", (gerund(verb[0].lower()).capitalize() + rest).rstrip(" .:;,!?"))
    return deed if deed.count('"') % 2 == 0 else deed.replace('"', "")


def _shortened(deed: str) -> str:
    """Behind a colon the material has begun."""
    return deed.split(": ")[0]


def _completed(deed: str, sentences: list[str], at: int) -> str:
    """With the question or the problem itself, where the instruction is only about it."""
    others = [_LABEL.sub("", sentence) for sentence in sentences[:at] + sentences[at + 1 :]]
    others = [other for other in others if " " in other]
    object_ = next(filter(_is_question, others), "")
    if not object_ and _PROBLEM.search(deed):
        object_ = next((other for other in others if _as_deed(other) and not _TO_YOU.match(other)), "")
    return f'{cut(deed, 80)}: "{_quotable(object_, 200)}"' if object_ else deed


def _question(sentences: list[str], at: int, *, alone: bool) -> str:
    """The question, with the sentence before it where there is room."""
    both = " ".join(sentences[max(0, at - 1) : at + 1])
    return _quotable(sentences[at] if alone or len(both) > QUOTED else both, QUOTED)


def _quotable(text: str, width: int) -> str:
    """A part of the prompt that can stand between double quotes."""
    return cut(text.replace('"', "'"), width)
