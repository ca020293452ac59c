"""Markdown: turns an answer into blocks of nodes with their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from markdown_it import MarkdownIt

from .highlighting import highlight
from .mathml import add_formulas, to_math
from .tree import Element, Node, element, is_web_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

__all__ = ["render"]

_SHOWN_LANGUAGE: Final = 30
# The page has headings of its own above those of an answer.
_HEADINGS: Final = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6"}
_MARKS: Final = {"em": "em", "strong": "strong", "s": "s", "link": "a"}
_ALIGNED: Final = {"text-align:left": "left", "text-align:center": "center", "text-align:right": "right"}


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("js-default", {"html": False})
    add_formulas(markdown)
    return markdown


_MARKDOWN: Final = _parser()


def render(text: str) -> list[dict[str, Any]]:
    """The blocks of *text*, in order: ``line`` counts its lines from 0, ``nodes`` are what it shows."""
    blocks: list[dict[str, Any]] = []
    root: list[Node] = []
    opened = [root]
    for token in _MARKDOWN.parse(text):
        if len(opened) == 1 and token.nesting >= 0:
            root = opened[0] = []
            blocks.append({"line": token.map[0] if token.map else 0, "nodes": root})
        _place(token, opened)
    return blocks


def _place(token: Token, opened: list[list[Node]]) -> None:
    """Put a token of blocks where it belongs; *opened* are the children of what is open, outermost first."""
    if token.hidden:  # a paragraph in a tight list
        return
    match token.type:
        case "inline":
            opened[-1] += _inline(token.children or [])
        case "fence" | "code_block":
            opened[-1].append(_code(token))
        case "math_block":
            opened[-1].append(to_math(token.content, block=True))
        case _ if token.nesting < 0:
            opened.pop()
        case _:
            node = element(_HEADINGS.get(token.tag, token.tag), _attributes(token))
            opened[-1].append(node)
            if token.nesting > 0:
                opened.append(_children(node))


def _inline(tokens: Sequence[Token]) -> list[Node]:
    nodes: list[Node] = []
    opened = [nodes]
    for token in tokens:
        kind = token.type.removesuffix("_open")
        if token.nesting > 0 and kind in _MARKS:
            node = element(_MARKS[kind], _attributes(token))
            opened[-1].append(node)
            opened.append(_children(node))
        elif token.nesting < 0:
            opened.pop()
        elif leaf := _leaf(token):
            opened[-1].append(leaf)
    return nodes


def _leaf(token: Token) -> Node:
    match token.type:
        case "code_inline":
            return element("code", children=[token.content])
        case "softbreak":
            return "\n"
        case "hardbreak":
            return element("br")
        case "math_inline" | "math_inline_double":
            return to_math(token.content, block=token.type.endswith("double"))
        case "image":  # nothing is loaded from elsewhere: a picture is a link to it
            source = str(token.attrs.get("src", ""))
            text = token.content or source
            return element("a", {"href": source}, [text]) if is_web_address(source) else text
        case _:
            return token.content


def _code(token: Token) -> Element:
    language = (token.info.split() or [""])[0][:_SHOWN_LANGUAGE]
    code = element("code", children=highlight(token.content.removesuffix("\n"), language))
    return element("pre", {"lang": language} if language else {}, [code])


def _attributes(token: Token) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in token.attrs.items():
        if name in {"href", "start"}:
            kept[name] = str(value)
        elif name == "style" and value in _ALIGNED:
            kept["align"] = _ALIGNED[str(value)]
    return kept


def _children(node: Element) -> list[Node]:
    children = node[2]
    assert isinstance(children, list)  # noqa: S101  # by construction
    return children
