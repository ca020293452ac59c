"""Text for people: formulas in words, no markup, nothing a reader cannot see."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.summary.formulas import MAX_DEPTH, loose_formula, plain_formula
from trio_gateway.core.summary.plain_text import cut, harmless, one_line, plain

FORMULAS = [
    (r"\dbinom{4}{2} = \frac{4!}{2!\,2!}", "C(4, 2) = 4!/(2! 2!)"),
    (r"\left(c + \dfrac{1}{c}\right)^6", "(c + 1/c)⁶"),
    (r"\frac{x+1}{(y)}", "(x+1)/(y)"),
    (r"\frac12", "1/2"),
    (r"\frac\pi2", "π/2"),
    (r"x_{1}^{10}", "x₁¹⁰"),
    (r"66666_{16}", "66666₁₆"),
    (r"\sum_{k=0}^{n} \dbinom{n}{k} a^{n - k}", "∑ₖ₌₀ⁿ C(n, k) aⁿ⁻ᵏ"),
    (r"a^{x + y + z}", "a^(x + y + z)"),
    (r"90^\circ", "90°"),
    (r"x^{}", "x"),
    (r"x^", "x"),
    (r"x^ y", "x^y"),
    (r"x^ {2}", "x²"),
    (r"{x^}y", "xy"),
    (r"\sqrt{x+1} + \sqrt[3]{8} + \sqrt[k] 2", "√(x+1) + ³√8 + ᵏ√2"),
    (r"\sqrt", "√"),
    (r"\sqrt[q]", "q√"),
    (r"16 \text{ cm}^2", "16 cm²"),
    (r"a \equiv b \pmod{7}", "a ≡ b (mod 7)"),
    (r"\left.\frac{a}{b}\right|", "a/b|"),
    (r"\left. x", "x"),
    (r"\left{x}", "x"),
    (r"a \quad b \\ c & d ~ e \; f \! g \% \|", "a b c d e f g % ‖"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "1 2 3 4"),
    (r"\sin x + \unknown y", "sin x + unknown y"),
    (r"2 \times 3 \leq 7 \ldots", "2 × 3 ≤ 7 …"),
    (r"}x{ \ ", "x"),
    ("x\\", "x"),
    ("{" * 40 + "x" + "}" * 40, "x"),
    (r"\frac{\frac{" * MAX_DEPTH + "x", "(/)/" * 3),
]


@pytest.mark.parametrize(("tex", "text"), FORMULAS[:-1])
def test_formulas(tex: str, text: str) -> None:
    assert plain_formula(tex) == text


@pytest.mark.parametrize(
    "tex", ["\\frac" * 1000, "\\text" * 1000, "{" * 5000, "^" * 5000, "x^{" * 5000, "\\sqrt[" * 999]
)
def test_deep_nesting_is_flattened(tex: str) -> None:
    assert "\\" not in plain_formula(tex)


def test_loose_latex_leaves_code_alone() -> None:
    assert loose_formula(r"so \frac{1}{2} of load_users in C:\new } a_{10} 2^{12} x^{n+n+n+n}") == (
        r"so 1/2 of load_users in C:\new } a₁₀ 2¹² x^(n+n+n+n)"
    )


PLAIN = [
    (r"Find \(a^2b^2\) in $x_1$, \[y\] and $$z$$.", "Find a²b² in x₁, y and z."),
    ("It costs $5 and then $10.", "It costs $5 and then $10."),
    ("**Bold**, *it*, __both words__, ~~no~~ and `code_name`.", "Bold, it, both words, no and code_name."),
    ("### 2. The **plan", "The plan"),
    ("- [x] done", "done"),
    ("> quoted", "quoted"),
    ("see [the docs](http://x.y/z) now", "see the docs now"),
    ("6 * 20 = 120 and 2**10 and x ** n and f(2)**2", "6 * 20 = 120 and 2**10 and x ** n and f(2)**2"),
    ("`__init__` and *args and _private and __main__", "__init__ and *args and _private and __main__"),
    ("the `<div>` tag, <b>bold</b> <script src=x>alert(1)</script>", "the ‹div› tag, bold alert(1)"),
    ("List<String> and x <y and 1 < 2", "List‹String› and x ‹y and 1 < 2"),
    ("<scr\u200bipt> <im\x00g>", "‹script› ‹im g›"),
    (r"so \frac{1}{2} of \( it", "so 1/2 of it"),
    ("a ,\tb\u2028c\x85d .", "a, b c d."),
]


@pytest.mark.parametrize(("text", "wanted"), PLAIN)
def test_plain(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_one_line_takes_out_all_that_is_invisible() -> None:
    kept = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cc", "Cf", "Cs", "Zl", "Zp") and not 0x13430 <= code < 0x13456 and char not in kept:
            assert one_line(f"a{char}b") in ("ab", "a b"), hex(code)


@given(st.text())
def test_harmless_text_holds_no_tag_and_is_one_line(text: str) -> None:
    line = harmless(text)
    assert one_line(line) == line
    assert not any(mark in line for mark in ("<a", "</", "<!", "<?"))


@given(
    st.lists(
        st.sampled_from(
            ["`", "**", "_", "$", "\\(", "\\)", "\\[", "<b", ">", "{", "}", "\\frac", "^", "x ", "1"]
        )
    )
)
def test_plain_text_stays_plain(parts: list[str]) -> None:
    text = plain("".join(parts))
    assert "`" not in text
    assert one_line(text) == text


CUTS = [
    ("short", 10, "short"),
    ("one two three", 9, "one two…"),
    ("one two three", 8, "one two…"),
    ("abcdefghijkl", 5, "abcd…"),
    ("a bcdefghijkl", 9, "a bcdefg…"),
    ("The sum is f(a, (b), c) and more", 20, "The sum is f…"),
    ("The sum (a) is f(a) ) and more", 24, "The sum (a) is f(a) )…"),
    ("(all of it in brackets)", 12, "(all of it…"),
    ("one, two; three", 10, "one, two…"),
]


@pytest.mark.parametrize(("text", "width", "wanted"), CUTS)
def test_cut(text: str, width: int, wanted: str) -> None:
    assert cut(text, width) == wanted


@given(st.text(), st.integers(2, 80))
def test_a_cut_text_fits(text: str, width: int) -> None:
    assert len(cut(text, width)) <= width
