"""Frames: the words around a prompt's own, in its language or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .languages import language_of

if TYPE_CHECKING:
    from .languages import Language

__all__ = ["ENGLISH", "Frames", "frames_for"]


class Frames(NamedTuple):
    """Words before a quotation, and the names of what is counted.

    A word is empty where this module has none of the language.
    """

    processing: str
    answering: str
    word: str
    character: str
    english: bool = False


ENGLISH = Frames("Processing: ", "Answering: ", "word", "character", english=True)
_FRAMES: dict[Language, Frames] = {
    "en": ENGLISH,
    "de": Frames("In Arbeit: ", "Zu beantworten: ", " Wörter", " Zeichen"),
    "fr": Frames("En cours : ", "Question : ", " mots", " caractères"),
    "es": Frames("En curso: ", "Pregunta: ", " palabras", " caracteres"),
    "zh": Frames("正在处理：", "正在回答：", " 词", " 字"),
    "ja": Frames("処理中：", "回答中：", " 語", " 文字"),
    "other": Frames("", "", "", ""),
}


def frames_for(text: str) -> Frames:
    """The frames in the language of *text*; English ones where nothing tells the language.

    >>> frames_for("Wie viele Tage hat der Februar?").processing
    'In Arbeit: '
    """
    return _FRAMES[language_of(text) or "en"]
