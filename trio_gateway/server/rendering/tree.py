"""Node tree: allows only listed tags and attributes.

A node is a string, or a list of tag, attributes and children. The page makes elements of it by name, so a
model's text never passes through a parser of HTML.
"""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import urlsplit

__all__ = ["ATTRIBUTES", "MATH_TAGS", "TAGS", "Element", "Node", "element", "is_web_address"]

Element: TypeAlias = "list[str | dict[str, str] | list[Node]]"
Node: TypeAlias = "str | Element"


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


TAGS: Final = _names(
    "p h3 h4 h5 h6 ul ol li blockquote hr br table thead tbody tr th td pre code em strong s a span"
)
MATH_TAGS: Final = _names(
    "math mrow mi mn mo mtext mspace ms mfrac msqrt mroot mstyle merror mpadded mphantom msub "
    "msup msubsup munder mover munderover mmultiscripts mprescripts none mtable mtr mtd "
    "menclose"
)
# Attributes of MathML; `href`, which formulas may hold too, is of links alone.
_MATH_ATTRIBUTES: Final = _names(
    "display mathvariant stretchy fence separator form lspace rspace minsize maxsize largeop "
    "movablelimits accent accentunder linethickness displaystyle scriptlevel columnalign "
    "columnspacing rowspacing width height depth notation"
)
ATTRIBUTES: Final = {
    "a": frozenset({"href"}),
    "ol": frozenset({"start"}),
    "pre": frozenset({"lang"}),
    "code": frozenset({"class"}),
    "span": frozenset({"class"}),
    "th": frozenset({"align"}),
    "td": frozenset({"align"}),
    **dict.fromkeys(MATH_TAGS, _MATH_ATTRIBUTES),
}
"""The attributes that each tag may have."""
_SCHEMES: Final = frozenset({"http", "https", "mailto"})


def element(
    tag: str, attributes: dict[str, str] | None = None, children: list[Node] | None = None
) -> Element:
    """A new node with that *tag*.

    Raises:
        ValueError: the tag is not one of ours.
    """
    if tag not in TAGS and tag not in MATH_TAGS:
        raise ValueError(tag)
    allowed = ATTRIBUTES.get(tag, ())
    kept = {
        name: value
        for name, value in (attributes or {}).items()
        if name in allowed and (name != "href" or is_web_address(value))
    }
    return [tag, kept, children if children is not None else []]


def is_web_address(href: str) -> bool:
    """Whether a link may lead there: to a page or a mailbox, never to a script or to the gateway itself."""
    try:
        return urlsplit(href).scheme.lower() in _SCHEMES
    except ValueError:
        return False
