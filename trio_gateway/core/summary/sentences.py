r"""Cuts growing text into sentences.

Theory of operation: text is taken in blocks of ``BLOCK`` characters. When a block is full, or at a call of
``take``, everything up to the last certain end of a sentence is cut into sentences and the rest is kept as
the tail. An end is certain once the next visible character is there: a full stop before a small letter ends
nothing, and a line before a displayed formula goes on in it. Formulas, and code between backticks, are never
cut; a fenced block is skipped, and only its first line of code is reported. A text that has no end for
``LONGEST`` characters is cut at a comma, a space or, failing both, anywhere.

Blocks begin where the last cut was made, so sentences depend on the text and on the places where they were
asked for, never on how the text was chunked. A character is looked at once with its block, and once more for
every ``take`` while it is in the tail, which is bounded: the work is linear.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from .terms import is_cjk

__all__ = ["Sentence", "SentenceReader"]

BLOCK = 2048
LONGEST = 700
LONGEST_CJK = 120
KEPT = 64
LONGEST_ABBREVIATION = 16
"""Characters before a full stop in which an abbreviation or an ordinal is looked for."""
WRAPPED = 65
"""A line at least this long that ends without a stop before a small letter was wrapped."""

_TOKEN = re.compile(
    r"(?P<fence>```+|~~~+)|(?P<code>`[^`\n]{1,200}`)|(?P<formula>\\\[|\\\(|\$\$)"
    r"|(?P<inline>\$(?=[^\s$])[^$\n]{0,300}?(?<=[^\s\\])\$(?!\d))"
    r"|(?P<cjk>[。！？；]{1,4}[”’」』）]{0,4})|(?P<stop>[.!?…]{1,4}[\"'”’»)\]*_]{0,4}(?=\s))|(?P<line>\n\s*)"
)
_TOKEN_START = re.compile(r"[`~\\$。！？；.!?…\n]")
"""Every token begins with one of these, which are found much faster than tokens are."""
_CLOSER = {"\\[": "\\]", "\\(": "\\)", "$$": "$$"}
_FENCE_END = re.compile(r"(?:^|\n)[ \t]*+(?:```|~~~)[^\n]*+\n")
_CODE_LINE = re.compile(r"[^\n]*+\n\s*+(\S[^\n]*+)\n")
_ABBREVIATION_TABLE = """
e.g i.e vs cf approx resp fig figs eq eqs dr mr mrs ms prof st jr sr inc ltd corp dept est incl excl al
esp ca viz
jan feb apr jun jul aug sept oct nov dec
bzw vgl ggf evtl bspw sog inkl exkl zzgl abzgl geb gem mind max min bsp hr fr str std mio mrd lt ehem
insb sinngem rn
mme mlle env éd sra ud uds dña pág aprox etc.) d.h z.b u.a o.ä z.t u.u s.o s.u i.d.r m.e p.ex p.ej
"""
_ABBREVIATIONS = "|".join(map(re.escape, _ABBREVIATION_TABLE.split()))
_ABBREVIATION = re.compile(
    rf"(?:^|[\s(])(?:{_ABBREVIATIONS}|[zduiomsp]\.\s?(?:\w{{1,2}}\.\s?)?\w{{1,2}})\.$", re.IGNORECASE
)
# These are abbreviations where a number follows; else the words they are.
_BEFORE_NUMBER = re.compile(
    r"(?:^|[\s(])(?:no|nos|nr|nrn|art|arts|abs|anm|kap|abb|tab|ziff|lit|sec|secs|ch|para|paras|vol|pp?|pg|pt|reg|cl"
    r"|núm|num|cap|fasc|al|rev|ver|v|s|z|rn|bl|aufl|bd|abschn|ex|op|app)\.$",
    re.IGNORECASE,
)
_NUMBER_FOLLOWS = re.compile(r"\d|[IVX]{1,5}\b|[§#(]")
# "z." before " B.": the first half of an abbreviation in two words.
_FIRST_HALF = re.compile(r"(?:^|[\s(])(?:z|d|u|i|o|s|m|p)\.$", re.IGNORECASE)
_SECOND_HALF = re.compile(r"(?:[BhaTUouädERe]|ex|ej)\.")
_ORDINAL = re.compile(r"(?:^|[\s(])\d{1,3}\.$")
_BEFORE_ORDINAL = re.compile(
    r"\b(?:am|der|den|dem|des|die|das|vom|zum|zur|bis|ab|seit|im|beim|jede[rsnm]?|ihre?[rsnm]?|seine?[rsnm]?|unser\w{0,2}"
    r"|diese[rsnm]?|und|oder)\s\d{1,3}\.$",
    re.IGNORECASE,
)
_MONTH = re.compile(r"(?:Jan|Jän|Feb|März|Apr|Mai\b|Jun|Jul|Aug|Sep|Okt|Nov|Dez)")
_GOES_ON = frozenset("+-*/=<>×÷·^),;")  # after a factorial: "6! / (3! * 3!)"
_LIST_NUMBER = re.compile(r"\s*\(?\d{1,2}\.$")
_VISIBLE = re.compile(r"\S")
_SOFT_END = re.compile(r"[，、,;；：]\s*|\s")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence as it stood, or (*code*) a block's first line."""

    text: str
    code: bool = False


class SentenceReader:
    """Sentence reader: takes text as it comes, gives complete sentences back.

    >>> reader = SentenceReader()
    >>> reader.feed("Let x = 2. Then"), [sentence.text for sentence in reader.take()]
    (None, ['Let x = 2.'])
    """

    __slots__ = ("_block", "_fenced", "_held", "_sentences", "_tail")

    def __init__(self) -> None:
        self._sentences: deque[Sentence] = deque(maxlen=KEPT)
        self._block: list[str] = []
        self._held = 0
        self._tail = ""
        self._fenced = False

    def feed(self, text: str) -> None:
        start = 0
        while start < len(text):
            piece = text[start : start + BLOCK - self._held]
            start += len(piece)
            self._block.append(piece)
            self._held += len(piece)
            if self._held == BLOCK:
                self._digest(final=False)

    def take(self, *, final: bool = False) -> list[Sentence]:
        """The complete sentences since the last call; *final*: what is left counts as complete too."""
        self._digest(final=final)
        taken = list(self._sentences)
        self._sentences.clear()
        return taken

    @property
    def unfinished(self) -> str:
        """What had come of the sentence under way when sentences were last taken, without an open formula;
        nothing in a fenced block."""
        text = "" if self._fenced else self._tail
        for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
            if text.count(opening) > text.count(closing):
                text = text[: text.rfind(opening)]
        for mark in "$`":
            if text.count(mark) % 2:
                text = text[: text.rfind(mark)]
        return text

    def clear(self) -> None:
        """Forget what was not taken, and begin a new text."""
        self.take(final=True)
        self._fenced = False

    def _digest(self, *, final: bool) -> None:
        text = self._tail + "".join(self._block)
        self._block.clear()
        self._held = 0
        scan = _Scan(text + "\n\n" if final else text, self._fenced, final)
        scan.run()
        self._sentences.extend(scan.found)
        self._fenced = scan.fenced
        self._tail = "" if final else self._shorten(scan.text[scan.start :])

    def _shorten(self, tail: str) -> str:
        """Cut a tail that finds no end, so that it stays bounded and its text is not lost."""
        while len(tail) > (limit := LONGEST_CJK if is_cjk(tail[:LONGEST_CJK]) else LONGEST):
            ends = [found.end() for found in _SOFT_END.finditer(tail, limit // 2, limit)]
            end = ends[-1] if ends else limit
            self._sentences.append(Sentence(tail[:end].strip()))
            tail = tail[end:]
        return tail


class _Scan:
    """One pass over a block: ``start`` is where the sentence under way begins."""

    def __init__(self, text: str, fenced: bool, final: bool) -> None:
        self.text = text
        self.fenced = fenced
        self.final = final
        self.start = 0
        self.found: list[Sentence] = []

    def run(self) -> None:
        position: int | None = self._skip_code() if self.fenced else 0
        while position is not None and (start := _TOKEN_START.search(self.text, position)):
            token = _TOKEN.match(self.text, start.start())
            if token is None:
                position = start.end()
                continue
            match token.lastgroup:
                case "fence":
                    position = self._fence(token)
                case "formula":
                    position = self._formula(token)
                case "stop" | "cjk" | "line":
                    position = self._end(token)
                case _:
                    position = token.end()

    def _end(self, token: re.Match[str]) -> int | None:
        """A possible end of the sentence: None when the text that decides it has not come yet."""
        following = _VISIBLE.search(self.text, token.end())
        if following is None and not self.final:
            return None
        if following is None or self._ends(token, following.start()):
            self._emit(token.end())
        return token.end()

    def _ends(self, token: re.Match[str], following: int) -> bool:
        before = self.text[self.start : token.end()]
        small = self.text[following].islower()
        match token.lastgroup:
            case "cjk":
                return True
            case "stop":
                if "?" in token[0] or "!" in token[0]:
                    return not (small or self.text[following] in _GOES_ON)
                return not (small or _LIST_NUMBER.fullmatch(before) or self._abbreviates(before, following))
            case _:
                if self.text.startswith(("\\[", "$$"), following):
                    return not before.strip()
                line = before.rstrip().rpartition("\n")[2]
                return not (small and len(line) >= WRAPPED and line[-1] not in ".:;!?")

    def _abbreviates(self, before: str, following: int) -> bool:
        """Whether the full stop at the end of *before* belongs to its word or number."""
        word = before[-LONGEST_ABBREVIATION:]
        if _ABBREVIATION.search(word):
            return True
        if _BEFORE_NUMBER.search(word) and _NUMBER_FOLLOWS.match(self.text, following):
            return True
        if _FIRST_HALF.search(word) and _SECOND_HALF.match(self.text, following):
            return True
        ordinal = _ORDINAL.search(word) and (
            _BEFORE_ORDINAL.search(word) or _MONTH.match(self.text, following)
        )
        return bool(ordinal) and self.text[following].isupper()

    def _emit(self, end: int) -> None:
        if sentence := self.text[self.start : end].strip():
            self.found.append(Sentence(sentence[:LONGEST]))
        self.start = end

    def _formula(self, token: re.Match[str]) -> int | None:
        """Jump over a formula; None when its end has not come yet and may still come."""
        end = self.text.find(_CLOSER[token[0]], token.end())
        if 0 <= end - token.end() <= LONGEST:
            return end + 2
        return None if end < 0 and not self.final and len(self.text) - self.start < LONGEST else token.end()

    def _fence(self, token: re.Match[str]) -> int | None:
        """A fenced block opens where a line begins; elsewhere backticks are text."""
        if self.text[self.start : token.start()].strip():
            return token.end()
        first = _CODE_LINE.match(self.text, token.start())
        if first is None and not self.final:
            return None
        if first is not None:
            self.found.append(Sentence(first[1].rstrip()[:LONGEST], code=True))
        self.fenced = True
        self.start = token.end()
        return self._skip_code()

    def _skip_code(self) -> int | None:
        """To the end of the fenced block, or keep only its last line, which may become its end."""
        if closing := _FENCE_END.search(self.text, self.start):
            self.fenced = False
            self.start = closing.end()
            return self.start
        self.start = max(self.start, self.text.rfind("\n"), len(self.text) - LONGEST)
        return None
