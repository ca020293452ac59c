"""From a sentence of a reasoner to clauses worth reading.

Fillers at the head go ("Okay, so", "Hmm, wait"), announcements become what they announce ("I need to find x"
reads "Finding x"), long sentences are parted at conjunctions, and what cannot stand alone is left out. The
rules are English; sentences of other languages are parted at their commas and otherwise stay as they are.

A plain sentence has single spaces, so no pattern looks for more than one.
"""

from __future__ import annotations

import re
from itertools import islice

from .folding import AnyCase
from .plain_text import cut
from .qualifiers import CONDITION, CONTRAST, HYPOTHESIS, QUALIFIER
from .signs import is_words
from .terms import CJK
from .verbs import FINITE, VERBS, gerund

__all__ = [
    "clauses",
    "cut_short",
    "finished",
    "fragment",
    "is_claim",
    "shortened",
    "whole",
    "without_formula",
]

MOST = 16
"""Parts of a sentence, or places to cut it, that are tried."""
FEWEST_WORDS = 4
_LONGEST_CONDITION = 16
"""Characters in which the word of a condition is told from others, in a language without spaces too."""
FEWEST_CHARACTERS = 7
"""A clause without spaces must be at least this long."""


def _words(*alternatives: str) -> str:
    """Lists of alternatives, a list a line, as one group of a regular expression."""
    return f"(?:{'|'.join(alternatives)})"


# ----------------------------------------------------------------------------------------------- the head

_FILLER = _words(
    r"okay|ok|alright|all right|so(?! (?:on|far|that)\b)|well|hmm++|hm|um++|uh|oh|ah|wow|wait a (?:minute"
    r"|second|moment)|wait",
    r"hold on|hang on|now|and|but|then|also|actually|again|next|finally|got (?:it|that)",
    r"(?:right|yes|yep|yeah|no|nope|sure|good|great)(?=[,.!;:—–])|you know|i mean|alternatively|therefore"
    r"|thus|hence|however|in this case",
    r"basically|for now|either way|anyway|still|to start|starting off|step by step|just(?= to\b)|let's see",
    r"first(?:ly)?(?=,| (?:i|we|let))|second(?:ly)?(?=,)|third(?:ly)?(?=,)",
    r"let me (?:see|think)(?: again| about (?:this|that|it))?|one (?:way|idea) (?:is|would be)(?= to\b)",
    r"(?:because )?i (?:remember|recall|know|see|notice|realize)(?: that)?(?! (?:of|about|how|if|whether)\b)",
    r"(?:so )?(?:that|which|this) (?:means|implies)(?: that)?",
    r"(?:maybe|perhaps|i (?:think|guess|believe|suppose)(?: that)?)(?= (?:(?:i|we) (?:should|need|can"
    r"|could|have to|must|might)|let(?:'s)?)\b)",
    r"(?:just )?to (?:be sure|double[- ]check|make sure)(?=,)",
    r"嗯++|好的?|好吧|等等|等一下|让我想想|唔",
    r"ええと|えっと|うーん|では|さて|次に|ちょっと待って",
)
_OPENER = AnyCase(re.compile(rf"{_FILLER}(?![\w'’])[\s,.:;!?…，。、！？—–-]*+|(?:然后|接下来|那么|不过)，?"))
_MODAL = _words(
    r"['’]ll|['’]d better|['’]d like to|['’]m going to|['’]m supposed to| am going to| are going to| will",
    r" need to| have to| want to| should| must| can| could| might want to| might need to| would need to",
)
_BESIDE = _words(
    r"also|first|now|just|simply|quickly|then|probably|try to|try and|start by|begin by|go ahead and",
    r"be able to|need to|figure out how to|make sure to|proceed to|go back and|think about how to",
)
_INTENTION = AnyCase(
    re.compile(
        rf"(?:let me|let's|let us|to(?!.*\b(?:i|we|you|it|they)\b)|(?:i|we){_MODAL})\s(?:{_BESIDE} )*"
        r"(?P<verb>[a-z]+(?:-[a-z]+)?)\b"
    )
)
# Bare verbs that are hardly ever nouns.
_COMMAND = AnyCase(
    re.compile(
        r"(?P<verb>calculate|compute|convert|divide|evaluate|expand|find|multiply|recall|recalculate|return|simplify|"
        r"solve|substitute|subtract|use|verify)\s(?!(?:is|are|was)\b)"
    )
)
_PLAIN_WORD = re.compile(r"[a-z]{2,}(?=[\s,:;?'’-]|$)|a (?=[a-z]{4,})|i(?=['’ ])")

# ---------------------------------------------------------------------------------------------- the parts

_SUBJECT = _words(
    r"I|we|it|that|this|these|those|there|the|they|he|she|you|let|let's|each|its|my|our|a|an|maybe|perhaps|then",
    r"first|all|both|any|every|one|some|since|if|when|\S++ (?:is|are|=)",
)
_BETWEEN = _words(
    r"[;；]\s?|\s[—–]\s|:\s(?=[A-Z(\d])|，(?=.)",
    rf"(?<=[{CJK}])\s(?=[{CJK}])",
    rf",\s(?=(?:and|and then|and so|then|yet) {_SUBJECT}\b)|,?\s(?=(?:so|but) {_SUBJECT}\b)",
    r",?\s(?=(?:because|so that|but|which|since|where|while|whereas|although|though|unless)\s)",
    r",\s(?=(?:making|giving|meaning)\s)",
    r",\s(?=(?:\w{2,}ing|if|as|when|or)\s)|,\s(?=right\?)",
)
_PART = re.compile(_BETWEEN)
_LEANING = re.compile(rf"\w{{2,}}ing\b|(?:and|but|or|so|yet|then) (?!{_SUBJECT}\b)", re.IGNORECASE)
_SUBORDINATE = AnyCase(
    re.compile(r"(?:if|when|since|because|although|though|while|given|as|once|after|before|for|instead)\b")
)
_MAIN_CLAUSE = re.compile(
    rf",\s(?={_SUBJECT}\b|[^\s,]{{1,30}} (?:is|are|has|have|can|would|will|=|means|gives)\b)"
)

# --------------------------------------------------------------------------------------- what stands alone

_WITHOUT_HEAD = _words(
    r"which|because|that (?:is|are|was|have|has)|where|whose|who|with|than|of|or|until|unless|so that",
    r"whereas|while|although|though|as|in (?:such )?a way|into|from|meaning|making|giving|such|is|are",
    r"was|were|has|have|be|not|etc|too|respectively|right\?",
)
_NOT_FIRST = AnyCase(re.compile(rf"{_WITHOUT_HEAD}\b"))
_QUESTION = re.compile(r"(?:is|are|was|were|has|have)\b.*\?$", re.IGNORECASE)
_DEED_FIRST = re.compile(r"[A-Z][a-z-]{2,}ing\s")
# A deed is no subject: "Retrying is safe" states something.
_STATES_OF_DEED = re.compile(
    r"[^?]*?\b(?:(?P<subordinate>whether|if|that|how|what|why|which|where|when|because|who|and see|to)"
    r"|is|are|was|were|would|will|can|cannot|could|may|might|should|must|has|had|does|needs|costs|makes|means|works"
    r"|avoids|requires|takes|gives|solves|fixes|helps|leads|seems|looks|isn['’]t|won['’]t|doesn['’]t)\b"
)
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NOT_LAST = AnyCase(
    re.compile(
        r"(?:^|\s)(?:a|an|the|of|to|in|on|at|by|for|with|from|and|or|but|so|if|that|which|is|are|was|as|than|because|"
        r"since|my|your|its|this|we|i|be|like|when|where|e\.g|i\.e)$|[=+*/(<,:×·÷-]$"
    )
)
_LONGEST_LAST = 16
# A phrase that may be left out and only takes detail with it; a condition or a negation may not.
_PHRASE = re.compile(
    r",? (?:regardless|instead|rather|such|by|using|because|so that|and|while|before|after|for|from|with|at"
    r"|in|of|on|when(?= \w+ing))(?=\s)"
)
# Read with the first word of the phrase: what would be missing something without it.
_INCOMPLETE = AnyCase(
    re.compile(
        r"\b(?:unless|when|if)\b.|\b(?:that|because)(?: \S++){2,4}$"
        r"|\b(?:based|depends?|relies|consists?|due|equal) \S++$"
        r"|\b(?:part|kind|sort|value|height|width|length|number|sum|product|remainder|power|coefficient|combination"
        r"|multiple|set|out) of$"
    )
)
# Where what follows may go with the formula in it.
_BEFORE_FORMULA = re.compile(rf"{_PHRASE.pattern}|[,:]\s(?=\S*[\d(=+∑√])")
_ENGLISH = AnyCase(re.compile(r"\b(?:the|of|and|is|are|this|that|we|it|to|with|for|from|by|can|an)\b"))
_AUXILIARY = _words(
    r"is|are|was|were|be|been|has|have|had|do|does|did|can|could|will|would|should|may|might|must|let|\w+n't",
    r"\w+['’](?:s|m|re|ll|ve)",
)
# An auxiliary, a pronoun with what it does, a regular past.
_PREDICATE = AnyCase(
    re.compile(rf"\b(?:{_AUXILIARY}\b|(?:i|we|you|they|it|he|she)\s[a-z]{{2}}|[a-z]{{3,}}ed\b)")
)
_WORD = re.compile(r"[a-z]{3,}")
_EQUATION = re.compile(r"\S\s*+(?:=|≈|≤|≥|<|>|→|⇒|->|≡|≠)\s*+\S")
_LOOSE = re.compile(r"\\[A-Za-z]{3,}|\$\$|\\[()\[\]]|\^\{|_\{")
_CJK = re.compile(f"[{CJK}]")
_CLOSING = {")": "(", "]": "[", "}": "{"}


def clauses(sentence: str) -> list[str]:
    """The readable parts of a plain *sentence*, each able to stand alone, without a full stop: the whole
    sentence first where it can be read, then its clauses in their order.

    >>> clauses("Okay, so I need to find the gcd, but first let me check the inputs.")
    ['Finding the gcd, but first let me check the inputs', 'Finding the gcd', 'Checking the inputs']
    """
    body = _without_opener(sentence.strip().rstrip(".。;,，:： "))
    found: list[str] = []
    for part in dict.fromkeys((body, *_parts(body))):
        text = _speak(part)
        if text not in found and _readable(text):
            found.append(text)
    return found


def fragment(sentence: str) -> str:
    """A plain *sentence* in which no clause was found, if it only lacks a verb; else nothing.

    >>> fragment("So, why the discrepancy?"), fragment("The first three")
    ('Why the discrepancy?', '')
    """
    text = _speak(sentence.strip().rstrip(".。;,，:： "))
    short = text.endswith("?") or bool(_DEED_FIRST.match(text))
    enough = len(text.split()) >= FEWEST_WORDS - short and _LETTERS.search(text)
    return text if enough and whole(text) and not _NOT_FIRST.match(text) and not _leans(text) else ""


def finished(sentence: str) -> list[str]:
    """The readable parts of a plain *sentence* whose end has not come, as far as they are finished.

    >>> finished("Finding the gcd is the first step, so then we have to")
    ['Finding the gcd is the first step']
    """
    body = _without_opener(sentence)
    ends = (
        []
        if _SUBORDINATE.match(body)
        else [found.start() for found in _PART.finditer(body) if _ends(body, found.end())]
    )
    heads = (body[:end] for end in reversed(ends[-MOST:]))
    return next((clauses(head) for head in heads if _balanced(head)), [])


def _ends(body: str, next_part: int) -> bool:
    """Whether the part before *next_part* is known to be limited by nothing that follows at once."""
    known = len(body) - next_part >= _LONGEST_CONDITION or " " in body[next_part:]
    return known and not (CONDITION.match(body, next_part) or CONTRAST.match(body, next_part))


def shortened(clause: str, width: int) -> str | None:
    """*clause* without its last phrases, so that it still is a sentence of at most *width* characters."""
    places = [found for found in _PHRASE.finditer(clause, width // 2) if found.start() <= width]
    for found in reversed(places[-MOST:]):
        head = clause[: found.start()]
        if QUALIFIER.search(clause, found.start()):
            break
        if _readable(head) and not _INCOMPLETE.search(clause[: found.end()]):
            return head
    return None


def without_formula(clause: str) -> str | None:
    """*clause*, which is mostly signs, without its last formulas, so that it still is a sentence; None if
    there is no such part.

    >>> without_formula("Finding the coefficient of x² in (x + 1/x)⁶")
    'Finding the coefficient of x²'
    """
    places = list(islice(_BEFORE_FORMULA.finditer(clause), MOST))
    for found in reversed(places):
        head = clause[: found.start()]
        if QUALIFIER.search(clause, found.start()) or _INCOMPLETE.search(clause[: found.end()]):
            continue
        listed = found[0][0] in ",:" or found[0].endswith("and")
        if listed and not (head[-1].isalpha() and _DEED_FIRST.match(head + " ")):
            continue
        if is_words(head) and _readable(head):
            return head
    return None


def cut_short(clause: str, width: int) -> str | None:
    """*clause* cut to *width* characters; None where a condition or a negation would be cut off."""
    text = cut(clause, width)
    return None if QUALIFIER.search(clause, len(text) - 1) else text


def is_claim(clause: str) -> bool:
    """Whether a clause states something, other than a deed, a question or a supposition."""
    return not (clause.endswith(("?", "？")) or _is_deed(clause) or HYPOTHESIS.search(clause))


def _is_deed(clause: str) -> bool:
    states = _STATES_OF_DEED.match(clause)
    return bool(_DEED_FIRST.match(clause)) and (states is None or states["subordinate"] is not None)


def _without_opener(text: str) -> str:
    start = 0
    while found := _OPENER.match(text, start):
        start = found.end()
    return text[start:]


def _speak(part: str) -> str:
    """Without fillers, and an intention as the deed itself."""
    text = _without_opener(part)
    if (found := _INTENTION.match(text) or _COMMAND.match(text)) and found["verb"].lower() in VERBS:
        text = gerund(found["verb"].lower()) + text[found.end("verb") :]
    if text.endswith("right?"):
        text = text[:-6].rstrip(" ,")
    return text[:1].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def _parts(body: str) -> list[str]:
    """The parts of a sentence that can do without the others: split at conjunctions outside brackets.

    A condition stays with what it limits. What the next part takes back stands with that part, unless it is a
    deed. What follows from a supposition or a condition is left out, and so is what leans on the part before.
    """
    starts, ends = _split(body)
    count = min(len(starts), MOST + 1)
    conditions = [at > 0 and bool(CONDITION.match(body, start)) for at, start in enumerate(starts)]
    contrasts = [at > 0 and bool(CONTRAST.match(body, start)) for at, start in enumerate(starts)]
    supposed = bool(CONDITION.match(body))
    found: list[str] = []
    for at in range(count):
        if contrasts[at]:
            supposed = False
        if conditions[at] or (at == 0 and supposed):
            supposed = True
            continue
        end = _behind(conditions, at)
        part = body[starts[at] : ends[end - 1]].strip(" ,;:，；—–")
        if at == 0 or not (supposed or _LEANING.match(part) or _NOT_FIRST.match(part)):
            if end < len(starts) and contrasts[end] and not _is_deed(_speak(part)):
                part = body[starts[at] : ends[_behind(conditions, end) - 1]].strip(" ,;:，；—–")
            found.append(part)
        if at + 1 < count:
            supposed = supposed or end > at + 1 or bool(HYPOTHESIS.search(part))
    if _SUBORDINATE.match(body) and not CONDITION.match(body) and (main := _MAIN_CLAUSE.search(body)):
        found.append(body[main.end() :])
    return found


def _split(body: str) -> tuple[list[int], list[int]]:
    """Where the parts of a sentence start, and where they end."""
    starts, ends = [0], []
    read = depth = 0
    for found in _PART.finditer(body):
        between = body[read : found.start()]
        depth += sum((char in "([") - (char in ")]") for char in between)
        read = found.start()
        if depth == 0:
            ends.append(found.start())
            starts.append(found.end())
    return starts, [*ends, len(body)]


def _behind(conditions: list[bool], at: int) -> int:
    """The number of the part that follows part *at* and its conditions."""
    end = at + 1
    while end < len(conditions) and conditions[end]:
        end += 1
    return end


def _readable(text: str) -> bool:
    """Whether a person can read *text* without what stood around it."""
    if (_NOT_FIRST.match(text) and not _QUESTION.match(text)) or _leans(text):
        return False
    if text.startswith("|") or not whole(text):
        return False
    if _EQUATION.search(text) or len(_CJK.findall(text)) >= FEWEST_CHARACTERS:
        return True
    words = text.split()
    if not _ENGLISH.search(text):
        return len(words) > FEWEST_WORDS and bool(_LETTERS.search(text))
    deed = len(words[0]) > 4 and words[0].endswith("ing")
    return len(words) >= FEWEST_WORDS - deed and (deed or _has_verb(text))


def whole(phrase: str) -> bool:
    """Whether nothing is torn off at the end of *phrase* or inside it."""
    torn = (
        _NOT_LAST.search(phrase, max(0, len(phrase) - _LONGEST_LAST))
        or _LOOSE.search(phrase)
        or phrase.count('"') % 2
    )
    return not torn and _balanced(phrase)


def _has_verb(text: str) -> bool:
    return bool(_PREDICATE.search(text)) or not FINITE.isdisjoint(_WORD.findall(text))


def _leans(text: str) -> bool:
    """ "If a = 2" or "since it is even", without what follows from it."""
    return bool(_SUBORDINATE.match(text)) and ", " not in text and not text.endswith("?")


def _balanced(text: str) -> bool:
    stack: list[str] = []
    for char in text:
        if char in "([{":
            stack.append(char)
        elif char in _CLOSING and (not stack or stack.pop() != _CLOSING[char]):
            return False
    return not stack
