"""A line is words: formulas and numbers are counted, and computations named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.summary import ReasoningSummary
from trio_gateway.core.summary.clauses import without_formula
from trio_gateway.core.summary.computations import MOST_NAMED, computations, is_computation
from trio_gateway.core.summary.signs import is_words, signs

COUNTED = [
    ("", 0),
    ("Checking the inputs again", 0),
    ("Checking load_users and utf8 in file.py again", 0),
    ("A list of a word, as I see", 0),
    ("L'annexe d'un bail à vérifier", 0),
    ("检查合同里的付款条款", 0),
    ("2 + 2", 5),
    ("We get x = 3 at last", 5),
    ("Layer 5", 1),
    ("sqrt(16) is short", 7),
    ("The value of (a + b)⁴ here", 7),
    ("进水管每小时注入1/6", 3),
]


@pytest.mark.parametrize(("text", "count"), COUNTED)
def test_signs_are_counted(text: str, count: int) -> None:
    assert signs(text) == count


@given(st.text(alphabet="ab1+ =.(x)²é，们", max_size=60))
def test_there_are_no_more_signs_than_characters(text: str) -> None:
    assert 0 <= signs(text) <= len(text)


def test_the_limit_is_a_third() -> None:
    assert is_words("abcd 12")
    assert not is_words("ab 12")
    assert is_words("The sum is 1 + 2")
    assert not is_words("Now 1 + 2 + 3")


NAMED = [
    ("417,792 + 1,536 = 419,328.", "Calculating the sum of 417,792 and 1,536"),
    ("3 + 4 = 7.", "Adding 3 and 4"),
    ("216,504 - 216,000 = 504", "Calculating the difference of 216,504 and 216,000"),
    ("6 × 256 = 1,536.", "Multiplying 6 by 256"),
    ("9,830 ÷ 8,192 = 1", "Working out 9,830 divided by 8,192"),
    ("Level 6: 3*(Level 5) = 3*40", "Calculating level 6"),
    ("C(4, 2) = 6", "Calculating the binomial coefficient of 4 and 2"),
    ("sqrt(17) ≈ 4.123", "Taking the square root of 17"),
    ("log₂(419,430) ≈ 18", "Calculating the logarithm of 419,430"),
    ("2^18 = 262144", "Calculating the powers of 2"),
    ("3B = 9", "Solving for B"),
    ("x = y", None),
    ("On 2024-11-29, on pages 10-12", None),
    ("1111111111.5 + 2222222222.5 + 3", None),
]


@pytest.mark.parametrize(("sentence", "name"), NAMED)
def test_a_computation_is_named(sentence: str, name: str | None) -> None:
    assert next(iter(computations(sentence)), None) == name
    assert name is None or is_computation(name) or name.startswith("Calculating level")


BOUND = [
    ("3*(1 + 444) = 3*445 = 1335", ["Adding 1 and 444", "Multiplying 3 by 445"]),
    ("3 + 4 × 5 = 23", ["Multiplying 4 by 5"]),
    ("3 × 4 + 5 = 17", ["Multiplying 3 by 4"]),
    ("9 - 3 + 2 = 8", ["Subtracting 3 from 9"]),
    ("8 / 4 * 2 = 4", []),
    ("2 + 3^2 = 11", ["Calculating the powers of 3"]),
    (
        "6 × 7 = 42; 6 × 7 = 42; 6 × 8 = 48; 6 × 9 = 54; 2 × 9 = 18",
        ["Multiplying 6 by 7", "Multiplying 6 by 8", "Multiplying 6 by 9"],
    ),
]


@pytest.mark.parametrize(("sentence", "names"), BOUND)
def test_operands_are_those_that_belong_together(sentence: str, names: list[str]) -> None:
    assert computations(sentence) == names
    assert len(names) <= MOST_NAMED


SHORTER = [
    ("Finding the coefficient of x² in (x + 1/x)⁶", "Finding the coefficient of x²"),
    ("Applying the theorem to it, (a + b)⁴ = a⁴ + 4a³b + 6a²b²", "Applying the theorem to it"),
    # A list is not torn, a condition not cut off, and what is left says something.
    ("Counting the digits: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11", "Counting the digits"),
    ("Counting 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11", None),
    ("Finding the roots of x² in x⁶ + x⁵ + x⁴ if 6x + 3 > 4x + 12 + 15", None),
    ("(a + b)⁴ = a⁴ + 4a³b", None),
    (
        "Finding the coefficient of x² in x⁶ + x⁵ + x⁴ + x³ + 12 in (x + 1/x)⁶ + 12 - 14 + 6x",
        "Finding the coefficient of x²",
    ),
]


@pytest.mark.parametrize(("clause", "head"), SHORTER)
def test_a_formula_stands_whole_or_not_at_all(clause: str, head: str | None) -> None:
    assert without_formula(clause) == head


SENTENCES = [
    "1.005^4 ≈ 1.015075125 * 1.005 ≈ 1.015075125 + 1.015075125*0.005 ≈ 1.02015.", "Layer 3: 1 + 3*13 = 40.",
    "So 417,792 + 1,536 = 419,328.", "C(4, 2) = 4!/(2! 2!) = 6.", "We compare both of the rows.", "3B = 9 + 2.",
    "The sum of the first ten squares is larger than 300.", "1/6 + 1/8 = 7/24。", "我们计算 3×4=12。", "x = y.",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=12),
    st.sampled_from(["concise", "auto", "detailed"]),
)
def test_every_line_is_words(sentences: list[str], detail: str) -> None:
    summary = ReasoningSummary(detail=detail)  # type: ignore[arg-type]
    for sentence in sentences:
        summary.feed(sentence + " ")
        line = summary.line(late=True)
        assert line is None or is_words(line)


def test_a_computation_has_english_words_in_english_reasoning_only() -> None:
    summary = ReasoningSummary()
    summary.feed("Wir rechnen die Summe der beiden Zahlen aus. 417,792 + 1,536 = 419,328. Dann")
    assert "Calculating" not in (summary.line(late=True) or "")
    summary.feed("```python\ndef load_users(path):\n    pass\n```\nDann weiter")
    assert summary.line(late=True) is None


def test_a_computation_alone_is_no_last_line() -> None:
    summary = ReasoningSummary()
    summary.feed("17 * 23 = 391.")
    assert summary.last() is None
