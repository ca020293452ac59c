"""Formulas as nodes: MathML that browsers draw, or TeX as it was written."""

from __future__ import annotations

from typing import Any

import pytest
from markdown_it import MarkdownIt

from trio_gateway.server.rendering.mathml import MAX_FORMULA, add_formulas, to_math


@pytest.mark.parametrize(
    "tex",
    ["", r"\unknowncommand", r"\frac{1}", "x^", "{" * 200 + "}" * 200, "x" * (MAX_FORMULA + 1), r"\begin{x}"],
)
def test_what_is_not_understood_stays_tex(tex: str) -> None:
    node = to_math(f" {tex} ", block=False)
    assert node[0] in {"code", "math"}
    if node[0] == "code":
        assert node == ["code", {"class": "tex"}, [tex]]


@pytest.mark.parametrize(("block", "display"), [(True, "block"), (False, "inline")])
def test_a_formula(block: bool, display: str) -> None:
    tag, attributes, children = to_math(r" \frac{1}{2} ", block=block)
    assert (tag, attributes) == ("math", {"display": display})
    assert "'mfrac'" in str(children)


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$a$ and $$b$$", ["a", "b"]),
        (r"\(a\) and \[b\]", ["a", "b"]),
        ("\\[\na\n\\]\n", ["a"]),
        ("It costs $5, or $6.", []),
        (r"\( \) and \(a", []),
        ("```\n$a$\n```", []),
    ],
)
def test_where_formulas_are_found(text: str, formulas: list[str]) -> None:
    markdown = MarkdownIt()
    add_formulas(markdown)
    found: list[str] = []

    def walk(tokens: list[Any]) -> None:
        for token in tokens:
            if token.type.startswith("math"):
                found.append(token.content.strip())
            walk(token.children or [])

    walk(markdown.parse(text))
    assert found == formulas
