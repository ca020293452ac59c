"""Qualifiers: words on which it hangs whether a statement holds, in six languages.

A statement is never shown without the condition, the exception or the negation that goes with it, and what is
only supposed, or is taken back by the next words, is not shown as a fact.
"""

from __future__ import annotations

import re

from .folding import AnyCase

__all__ = ["CONDITION", "CONTRAST", "HYPOTHESIS", "QUALIFIER", "TAKEN_BACK", "may_take_back"]

_CONDITIONS = """
unless|except|only if|only when|only for|only after|if|provided|providing|as long as|so long as|until
|till|without|not|in case
|on condition|assuming|given that|supposing|apart from|other than|save for|barring|subject to|pending|when
|sofern|es sei denn|wenn|falls|außer|ausser|nur wenn|nur dann|solange|vorausgesetzt|ohne|nicht|soweit
|bevor|bis
|à moins|a moins|sauf|si|seulement si|pourvu|tant que|à condition|sans|excepté|hormis|lorsque|quand|pas
|a menos que|salvo|excepto|solo si|sólo si|siempre que|mientras|con tal|sin|a condición|cuando|no
"""
_CONTRASTS = """
but|however|yet|though|although|whereas|no,? wait|wait,? no|except that|albeit
|aber|jedoch|allerdings|doch|sondern|obwohl|nein
|mais|cependant|toutefois|pourtant|bien que|quoique|or|non
|pero|sin embargo|aunque|sino
"""
_HYPOTHESES = """
maybe|perhaps|possibly|presumably|probably|likely|suppose|supposing|supposed|assume|assumed|assuming|could|might|may|if
|unless|seems?|appears?|looks like|guess|suspect|suggests?|what if|not sure|unsure|hypothetically|whether
|provided
|vielleicht|möglicherweise|wahrscheinlich|vermutlich|womöglich|angenommen|könnte|könnten|dürfte|wenn|falls|sofern|scheint|ob
|peut-être|probablement|supposons|pourrait|serait|semble|si
|quizás?|tal vez|acaso|probablemente|supongamos|podría|sería|parece
"""
_CJK_CONDITION = (
    "除非|只有|只要|如果|要是|假如|倘若|若|前提|否则|不包括|除了|直到|当"
    "|ただし|もし|限り|場合|でない限り|除き|除いて|以外"
)
_CJK_CONTRAST = "但是|但|不过|然而|可是|却|しかし|でも|けれど|ところが|ただ"
_CJK_HYPOTHESIS = (
    "也许|可能|或许|大概|似乎|好像|假设|假定|如果|要是"
    "|假如|应该|会不会|难道|かも|おそらく|たぶん|だろう|もし|らしい|と仮定"
)


def _one_of(table: str) -> str:
    """The alternatives of *table*, as one group of a regular expression; each may go on after a space."""
    return f"(?:{'|'.join(''.join(table.splitlines()).strip('|').split('|'))})"


CONDITION = AnyCase(re.compile(rf"(?:(?:and|or|und|et|y) )?{_one_of(_CONDITIONS)}\b|(?:{_CJK_CONDITION})"))
"""Matches where a part of a sentence begins that limits the part before it."""
CONTRAST = AnyCase(re.compile(rf"(?:and )?{_one_of(_CONTRASTS)}\b|(?:{_CJK_CONTRAST})"))
"""Matches where a part begins that takes something back from the part before it, and can stand alone."""
HYPOTHESIS = AnyCase(re.compile(rf"\b{_one_of(_HYPOTHESES)}\b|{_CJK_HYPOTHESIS}"))
"""Found in what is supposed, not stated."""
QUALIFIER = AnyCase(
    re.compile(
        rf"\b(?:{_one_of(_CONDITIONS)}|{_one_of(_CONTRASTS)}|never|none|nor|only|cannot|kein\w{{0,2}}|nie|jamais|nunca|ni)\b"
        rf"|n['’]t\b|{_CJK_CONDITION}|{_CJK_CONTRAST}|不|没|没有|ない|ません"
    )
)
"""Found in what may not be cut off a statement."""
TAKEN_BACK = AnyCase(
    re.compile(
        r"\W{0,3}(?:(?:hmm++|oh|ah|ok|okay|well|wait|and|so|moment|ach|ah|euh|bueno|espera|等等|嗯++|啊|えっと|待って)[\s,，、.…!]{1,3}){0,3}"
        r"(?:but|however|no|nope|yet|though|actually,? (?:no|that|this|it|wait)|scratch that"
        r"|on second thou?ght"
        r"|(?:that|this|which)(?:['’]s| is| was| can['’]t be| cannot be)(?: \w{1,8}){0,2}"
        r" (?:wrong|incorrect|not right|not true|right\?|correct\?|false|mistaken|impossible)"
        r"|aber|nein|jedoch|allerdings|doch|das (?:ist|war|stimmt)(?: \w{1,8})? (?:falsch|nicht)"
        r"|mais|non|cependant|toutefois|pourtant|en fait,? non|c['’]est faux"
        r"|pero|sin embargo|en realidad,? no|eso (?:es falso|no es)|no)\b(?=[\s,.!:;…—–-]|$)"
        r"|\W{0,3}(?:(?:等等|嗯++|啊|哦|等一下)[，,。！!…]{0,2})?"
        r"(?:但是|但|不过|然而|可是|不对|不，|错了|しかし|でも|いや|ただし|違う|ところが|だが)"
    )
)
"""Matches a sentence that takes back what the one before it stated."""
_FIRST_WORDS = [
    "but",
    "however",
    "no",
    "nope",
    "wait",
    "actually",
    "hmm",
    "aber",
    "nein",
    "jedoch",
    "allerdings",
    "doch",
    "mais",
    "non",
    "cependant",
    "pourtant",
    "pero",
    "但是",
    "不过",
    "然而",
    "可是",
    "不对",
    "等等",
    "しかし",
    "でも",
    "いや",
    "違う",
]


def may_take_back(beginning: str) -> bool:
    """Whether a sentence of which no more than *beginning* has come takes back, or may take back, what the
    one before it stated."""
    begun = beginning.lstrip().lower()
    return bool(TAKEN_BACK.match(begun)) or any(word.startswith(begun) for word in _FIRST_WORDS if begun)
