"""Formulas: finds TeX between its delimiters in Markdown, and converts it to MathML nodes."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING, Final

from latex2mathml.converter import convert_to_element
from mdit_py_plugins.dollarmath import dollarmath_plugin

from .tree import MATH_TAGS, Element, Node, element

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element as XMLElement

    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

__all__ = ["MAX_FORMULA", "add_formulas", "to_math"]

MAX_FORMULA: Final = 2_000
"""Characters of a formula that is converted; a longer one stays TeX."""
_MAX_LINES: Final = 60
"""Lines within which a block of a formula must end."""
_MAX_DEPTH: Final = 60
"""Levels of a formula's nodes."""
_CHILDREN: Final = {
    **dict.fromkeys(("mfrac", "mroot", "msup", "msub", "munder", "mover"), 2),
    **dict.fromkeys(("msubsup", "munderover"), 3),
}
"""How many children those have; with others, as of a formula that breaks off, browsers draw an error."""
_OPENERS: Final = {r"\(": (r"\)", "math_inline"), r"\[": (r"\]", "math_inline_double")}


def add_formulas(markdown: MarkdownIt) -> None:
    r"""Have *markdown* know ``$a$``, ``$$a$$``, ``\(a\)`` and ``\[a\]``; prices in dollars stay text."""
    dollarmath_plugin(markdown, allow_space=False, allow_digits=False, double_inline=True, allow_labels=False)
    markdown.inline.ruler.before("escape", "bracket_math", _inline)
    markdown.block.ruler.before(
        "fence", "bracket_math_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )


def _inline(state: StateInline, silent: bool) -> bool:
    opener = state.src[state.pos : state.pos + 2]
    if opener not in _OPENERS:
        return False
    closer, kind = _OPENERS[opener]
    end = state.src.find(closer, state.pos + 2, min(state.posMax, state.pos + MAX_FORMULA))
    if end < 0 or not state.src[state.pos + 2 : end].strip():
        return False
    if not silent:
        token = state.push(kind, "math", 0)
        token.content = state.src[state.pos + 2 : end]
    state.pos = end + 2
    return True


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    def line(number: int) -> str:
        return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]

    if not line(start).startswith(r"\["):
        return False
    for number in range(start, min(end, start + _MAX_LINES)):
        if line(number).rstrip().endswith(r"\]"):
            break
    else:
        return False
    if silent:
        return True
    text = "\n".join(line(each) for each in range(start, number + 1)).strip()
    token = state.push("math_block", "math", 0)
    token.block = True
    token.content = text.removeprefix(r"\[").removesuffix(r"\]")
    token.map = [start, number + 1]
    state.line = number + 1
    return True


def to_math(tex: str, *, block: bool) -> Element:
    """The formula as MathML; as code where it is too long, or not understood."""
    tex = tex.strip()
    if len(tex) <= MAX_FORMULA:
        try:
            return _converted(convert_to_element(tex, display="block" if block else "inline"))
        except Exception:  # noqa: S110  # of the converter, whatever it meets in there: also a RecursionError
            pass
    return element("code", {"class": "tex"}, [tex])


def _converted(node: XMLElement, depth: int = 0) -> Element:
    tag = node.tag.rpartition("}")[2]
    if tag not in MATH_TAGS or depth > _MAX_DEPTH:
        raise ValueError(tag)
    text = unescape(node.text or "")
    if tag == "mi" and text.startswith("\\"):  # a command that the converter does not know
        raise ValueError(text)
    children: list[Node] = [text] if text else []
    children += [_converted(child, depth + 1) for child in node]
    if len(children) != _CHILDREN.get(tag, len(children)):
        raise ValueError(tag)
    return element(tag, dict(node.attrib), children)
