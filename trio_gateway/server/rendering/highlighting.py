"""Highlighting: gives code a class for each kind of token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pygments.lexers import get_lexer_by_name
from pygments.token import Token
from pygments.util import ClassNotFound

from .tree import Node, element

if TYPE_CHECKING:
    from pygments.lexer import Lexer

__all__ = ["MAX_CODE", "highlight"]

MAX_CODE: Final = 20_000
"""Characters of a block that is highlighted; a longer one is shown in one colour."""

# The first one that a token is of decides.
_CLASSES: Final = (
    (Token.Comment, "c"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "n"),
    (Token.Keyword.Constant, "n"),
    (Token.Keyword, "k"),
    (Token.Operator.Word, "k"),
    (Token.Name.Function, "f"),
    (Token.Name.Class, "f"),
    (Token.Name.Decorator, "f"),
    (Token.Name.Tag, "k"),
    (Token.Name.Attribute, "f"),
    (Token.Name.Builtin, "b"),
    (Token.Name.Exception, "b"),
    (Token.Generic.Deleted, "del"),
    (Token.Generic.Inserted, "ins"),
    (Token.Generic.Heading, "k"),
)


def highlight(code: str, language: str) -> list[Node]:
    """The nodes of *code*, which are its text alone where nothing is known of that *language*."""
    lexer = _lexer(language) if len(code) <= MAX_CODE else None
    if lexer is None:
        return [code] if code else []
    parts: list[tuple[str, str]] = []
    for kind, text in lexer.get_tokens(code):
        name = next((name for group, name in _CLASSES if kind in group), "")
        if parts and (parts[-1][0] == name or not text.strip()):
            parts[-1] = (parts[-1][0], parts[-1][1] + text)
        else:
            parts.append((name, text))
    return [element("span", {"class": name}, [text]) if name else text for name, text in parts]


def _lexer(language: str) -> Lexer | None:
    try:
        # Nothing is stripped or added: what is copied from the page is what the model wrote.
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None
