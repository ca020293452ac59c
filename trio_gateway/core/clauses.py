"""From a sentence of somebody thinking aloud to clauses worth reading.

Fillers at the head go ("Okay, so", "Hmm, wait"), announcements become what they announce ("I need to find x" reads
"Finding x"), long sentences are parted at conjunctions, and what cannot stand alone is left out. The rules are English;
sentences of other languages are parted at their commas and otherwise stay as they are.
"""

from __future__ import annotations

import re

from trio_gateway.core.verbs import VERBS, gerund

__all__ = ["clauses"]

_OPENER = re.compile(
    r"(?:okay|ok|alright|all right|so|well|hmm+|hm|um+|uh|oh|ah|wow|wait a (?:minute|second|moment)|wait|hold on|hang on|now|and|but|"
    r"then|also|actually|again|first(?:ly)?(?=,| (?:i|we|let))|second(?:ly)?(?=,)|third(?:ly)?(?=,)|next|finally|right|yes|yep|yeah|no|nope|sure|good|great|got it|got that|"
    r"let me (?:see|think)(?: again| about (?:this|that|it))?|let's see|you know|i mean|"
    r"(?:because )?i (?:think|guess|believe|suppose|remember|recall|know|see|notice|realize)(?: that)?(?! (?:of|about|how)\b)|"
    r"it (?:seems|looks)(?: like| that)|(?:so )?(?:that|which|this) (?:means|implies|suggests)(?: that)?|"
    r"(?:maybe|perhaps)(?= (?:(?:i|we) (?:should|need|can|could|have to|must|might)|let(?:'s)?)\b)|alternatively|therefore|thus|hence|however|in this case|basically|"
    r"(?:just )?to (?:be sure|double[- ]check|make sure)(?=,)|just(?= to\b)|for now|either way|anyway|still|to start|starting off|"
    r"嗯+|好的?|好吧|那么|等等|等一下|不过|然后|接下来|让我想想|唔|ええと|えっと|うーん|では|さて|次に|ちょっと待って)(?![\w'’])[\s,.:;!?…，。、！？—–-]*",
    re.IGNORECASE,
)
_INTENTION = re.compile(
    r"(?:let me|let's|let us|to|(?:i|we)(?:['’]ll|['’]d better| will| need to| have to| want to| should| must| can| could|"
    r" might want to| might need to|['’]m going to| am going to| are going to| would need to|['’]m supposed to|['’]d like to))\s+"
    r"(?:(?:also|first|now|just|simply|quickly|then|probably|try to|try and|start by|begin by|go ahead and|be able to|need to|"
    r"figure out how to|make sure to|proceed to|go back and|think about how to) )*"
    r"(?P<verb>[a-z]+(?:-[a-z]+)?)\b",
    re.IGNORECASE,
)
_SUBJECT = (
    r"(?:I|we|it|that|this|these|those|there|the|they|he|she|you|let|let's|each|its|my|our|a|an|maybe|perhaps|then|all|both|any|"
    r"every|one|some|since|if|when|\S+ (?:is|are|=))\b"
)
_PART = re.compile(
    rf"[;；]\s*|\s+[—–]\s+|:\s+(?=[A-Z(\d])|[，](?=.)|,?\s+(?=(?:so|but|which means|and|and then|and so|then|yet) {_SUBJECT})|"
    r",?\s+(?=(?:because|so that|but|which|since|where|while|whereas|although|though|unless|making|giving|meaning|resulting)\s)|"
    r",\s+(?=(?:\w{2,}ing|if|as|when|right\?|or)\s)|,\s+(?=right\?)",
)
_SUBORDINATE = re.compile(r"(?:if|when|since|because|although|though|while|given|as|once|after|before|for|instead)\b", re.IGNORECASE)
_MAIN_CLAUSE = re.compile(rf",\s+(?={_SUBJECT}|[^\s,]{{1,30}} (?:is|are|has|have|can|would|will|=|means|gives)\b)")
_NOT_FIRST = re.compile(
    r"(?:which|because|that (?:is|are|was|have|has)\b|where|whose|who|with|than|of|or|until|unless|so that|whereas|although|though|as|"
    r"in (?:such )?a way|into|from|meaning|making|giving|such|is|are|was|were|has|have|be|not|etc|too|respectively|right\?|while)\b",
    re.IGNORECASE,
)
_NOT_LAST = re.compile(
    r"(?:^|\s)(?:a|an|the|of|to|in|on|at|by|for|with|from|and|or|but|so|if|that|which|is|are|was|as|than|because|since|my|your|"
    r"its|this|we|I|be|like|when|where|e\.g|i\.e)$|[=+*/(<,:×·÷-]$",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\b(?:the|of|and|is|are|this|that|we|it|to|with|for|from|by|can|an)\b", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|will|would|should|may|might|must|isn't|aren't|doesn't|don't|"
    r"didn't|won't|wouldn't|can't|let's|let|it's|that's|there's|I'm|I'll|we'll|they're|you're|I've|we've|\w+(?:'re|'ll|'ve)|"
    r"(?:need|want|get|give|go|make|mean|say|ask|use|take|start|begin|become|equal|seem|look|work|match|contain|consist|"
    r"correspond|represent|involve|add|require|remain|hold|show|suggest|imply|expand|simplif|multipl|depend|affect|return|fail|"
    r"happen|refer|include|call|cover|come|form|draw|count|find|think|know|see|pass|run|read|write|handle|raise|throw|point|"
    r"try|keep|change|lie|lead|follow|apply|cause|create|appear|exist|cost|allow|occur|turn|repeat|explain|describe|mention|check)"
    r"(?:s|es|ies|ed|d)?|gets?|got|gave|went|made|meant|said|took|began|became|came|found|thought|knew|saw|ran|wrote|held|kept|"
    r"read|cut|put|set|sets)\b",
    re.IGNORECASE,
)
_EQUATION = re.compile(r"\S\s*(?:=|≈|≤|≥|<|>|→|⇒|->|≡|≠)\s*\S")
_LOOSE = re.compile(r"\\[A-Za-z]{3,}|\$\$|\\[()\[\]]|\^\{|_\{")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_PLAIN_WORD = re.compile(r"[a-z]{2,}(?=[\s,:;?'’-]|$)|a (?=[a-z]{4,})|i(?=['’ ])")
_CLOSING = {")": "(", "]": "[", "}": "{"}
FEWEST_WORDS = 4
FEWEST_CHARACTERS = 7


def clauses(sentence: str) -> list[str]:
    """The readable parts of a plain *sentence*, each able to stand alone, without a full stop: the whole sentence
    first where it can be read, then its clauses in their order.

    >>> clauses("Okay, so I need to find the gcd of both, but first let me check the inputs for zero.")
    ['Finding the gcd of both, but first let me check the inputs for zero', 'Finding the gcd of both',
    'Checking the inputs for zero']
    """
    body = _without_opener(sentence.strip().rstrip(".。;,，:： "))
    found: list[str] = []
    for part in (body, *_parts(body)):
        text = _speak(part)
        if text not in found and _readable(text):
            found.append(text)
    return found


def _without_opener(text: str) -> str:
    while found := _OPENER.match(text):
        text = text[found.end() :]
    return text


def _parts(body: str) -> list[str]:
    """Split at conjunctions outside brackets; parts that lean on the one before are left out."""
    ends = [0]
    depth_at = 0
    depth = 0
    for found in _PART.finditer(body):
        between = body[depth_at : found.start()]
        depth += between.count("(") + between.count("[") - between.count(")") - between.count("]")
        depth_at = found.start()
        if depth == 0:
            ends.append(found.start())
    if len(ends) == 1 and not _SUBORDINATE.match(body):
        return []
    parts = [body[start:end].strip(" ,;:，；—–") for start, end in zip(ends, [*ends[1:], len(body)], strict=True)]
    leaning = re.compile(r"\w{2,}ing\b")
    alone = [part for at, part in enumerate(parts) if not at or not (leaning.match(part) or _NOT_FIRST.match(part))]
    mains = []
    if _SUBORDINATE.match(body) and (main := _MAIN_CLAUSE.search(body)):
        mains = [body[main.end() :]]
    return alone + mains


def _speak(part: str) -> str:
    """Without fillers, and an intention as the deed itself."""
    text = _without_opener(part)
    if (found := _INTENTION.match(text)) and found["verb"].lower() in VERBS:
        text = gerund(found["verb"].lower()) + text[found.end() :]
    if text.endswith("right?"):
        text = text[:-6].rstrip(" ,")
    return text[:1].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def _readable(text: str) -> bool:
    """Whether a person can read *text* without what stood around it."""
    if _NOT_FIRST.match(text) or _NOT_LAST.search(text) or _LOOSE.search(text) or text.count('"') % 2:
        return False
    if not _balanced(text) or _leans(text):
        return False
    if _EQUATION.search(text):
        return True
    if len(_CJK.findall(text)) >= FEWEST_CHARACTERS:
        return True
    words = text.split()
    if _ENGLISH.search(text):
        gerund_first = words[0].endswith("ing") and len(words[0]) > 4
        return len(words) >= FEWEST_WORDS - gerund_first and bool(gerund_first or _VERB.search(text))
    return len(words) > FEWEST_WORDS


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
