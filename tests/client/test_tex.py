"""TeX made readable: its delimiters go, and prices stay prices."""

from __future__ import annotations

import time

import pytest

from trio_gateway.terminal.tex import readable
from trio_gateway.terminal.text import PARSER


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"\(a_1 * b_2 * c\)", "a_1 * b_2 * c"),
        (r"so $x^2$, then", "so x^2, then"),
        (r"$$\boxed{\dfrac{a+b}{2}}$$", "(a+b)/2"),
        ("\\[\na \\times \\pi\n\\]", "a × π"),
        (r"\(\boxed{\text{yes}}\)", "yes"),
        (r"\(\unknown{x}\)", r"\unknown{x}"),
        ("it costs $5 and $10, or $5-$10", "it costs $5 and $10, or $5-$10"),
        (r"\(never closed", r"\(never closed"),
        (r"\( \) and $ $", r"\( \) and $ $"),
        (r"C:\new\(x", r"C:\new\(x"),
    ],
)
def test_tex_is_readable(text: str, wanted: str) -> None:
    inline = PARSER.parse(text)[1].children or []
    assert "".join(token.content or "\n" for token in inline) == wanted


@pytest.mark.parametrize("unit", ["\\(", "$", "$$", "$x", "\\[a", "\\boxed{", "\\frac{", "\\frac{a}{", "\\a"])
def test_hostile_tex_takes_no_time(unit: str) -> None:
    text, began = unit * (16_384 // len(unit)), time.process_time()
    PARSER.parse(text)
    readable(text)
    assert time.process_time() - began < 2
