"""Languages: tells which language a text is in, by its script and its commonest words.

Needed only so that no words of ours stand in a text of another language. Where nothing tells, as in "2+2?",
the answer is None.
"""

from __future__ import annotations

import re
from typing import Literal

from .terms import is_cjk

__all__ = ["SAMPLE", "Language", "language_of"]

Language = Literal["en", "de", "fr", "es", "zh", "ja", "other"]

SAMPLE = 2048
"""Characters that are looked at."""

_FEWEST = 2
"""Signs of a language other than English that there must be: "Die Hard" is no German."""

_COMMON: dict[Language, str] = {
    "en": """
    the of and is are this that we it to with for from by can an you what how in on my me i please
    be not do does was has have write explain find why who when should would could which there then
    so but let need
    """,
    "de": """
    der die das und ist sind ein eine einen einem einer nicht mit für auf von zu im den dem des wie
    was warum wer ich wir sie es mir bitte kann oder auch nach bei aus wird werden hat haben dass
    schreibe erkläre
    """,
    "fr": """
    le la les des et est sont un une pas avec pour dans sur du de au aux qui que quoi comment
    pourquoi je nous vous il elle ce cette moi mon ma mes où quel quelle être donc mais écris
    explique c'est l'on
    """,
    "es": """
    el la los las y es son un una no con para por en de del al que qué cómo por porque yo nosotros
    usted mi me este esta dónde cuál está pero como más escribe explica hay ser su sus lo
    """,
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_WORD = re.compile(r"[^\W\d_]++(?:['’][a-z]{1,2}\b)?")
_KANA = re.compile("[\u3040-\u30ff]")
_OTHER_SCRIPT = re.compile("[\u0370-\u1fff\uac00-\ud7af\u0e00-\u0eff]")
_OWN_LETTERS: dict[Language, re.Pattern[str]] = {
    "de": re.compile("[äöüßÄÖÜ]"),
    "fr": re.compile("[àâçèêëîïôœùûÀÇÈÊ]"),
    "es": re.compile("[ñáíóú¿¡Ñ]"),
}


def language_of(text: str) -> Language | None:
    """The language of the beginning of *text*; "other" is one of which no words are known here.

    >>> language_of("Wie spät ist es in Tokio?"), language_of("2+2?")
    ('de', None)
    """
    text = text[:SAMPLE]
    if not text.isascii():
        if is_cjk("".join(text.split())) or len(_KANA.findall(text)) * 4 > len(text):
            return "ja" if _KANA.search(text) else "zh"
        if 2 * len(_OTHER_SCRIPT.findall(text)) > sum(map(str.isalpha, text)):
            return "other" if _OTHER_SCRIPT.search(text) else None
    words = _WORD.findall(text.lower())
    counts = {language: sum(map(common.__contains__, words)) for language, common in _WORDS.items()}
    if not text.isascii():
        for language, letters in _OWN_LETTERS.items():
            counts[language] += bool(counts[language] and letters.search(text))
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] >= (1 if best == "en" else _FEWEST) else None
