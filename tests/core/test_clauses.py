"""Clauses worth reading, and the words they are made of."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.clauses import clauses, finished, fragment, shortened
from trio_gateway.core.summary.terms import LONGEST, is_cjk, terms
from trio_gateway.core.summary.verbs import VERBS, gerund

CASES = [
    # Fillers go, intentions become deeds.
    ("Okay, so I need to find the gcd of both numbers.", ["Finding the gcd of both numbers"]),
    ("Hmm, wait, let me double-check the inputs first.", ["Double-checking the inputs first"]),
    ("Maybe I should look at the second case.", ["Looking at the second case"]),
    ("Maybe I made a mistake in the sum.", ["Maybe I made a mistake in the sum"]),
    ("Compute 1 + 3(4) = 13.", ["Computing 1 + 3(4) = 13"]),
    ("Find is a command of the shell.", ["Find is a command of the shell"]),
    ("I'll plug the value into the formula, right?", ["Plugging the value into the formula"]),
    ("To convert it, I can use the table of powers.", ["To convert it, I can use the table of powers"]),
    ("To convert the number to binary, step by step.", ["Converting the number to binary, step by step"]),
    ("Okay. Hmm.", []),
    ("Let me think.", []),
    # Long sentences are parted, outside brackets.
    (
        "The perimeter is 4 cm, so each side is 1 cm, which is short.",
        [
            "The perimeter is 4 cm, so each side is 1 cm, which is short",
            "The perimeter is 4 cm",
            "Each side is 1 cm",
        ],
    ),
    (
        "Since all sides are equal, the perimeter is four times one side.",
        [
            "Since all sides are equal, the perimeter is four times one side",
            "The perimeter is four times one side",
        ],
    ),
    (
        "It maps f(x, and the y) to the set; it is a bijection.",
        [
            "It maps f(x, and the y) to the set; it is a bijection",
            "It maps f(x, and the y) to the set",
            "It is a bijection",
        ],
    ),
    # What cannot stand alone is left out.
    ("because it is odd", []),
    ("If each unit is a third of a centimetre", []),
    ("the sum of the", []),
    ("a horizontal line from the left", []),
    ("the loop (over all items is slow", []),
    ("the loop over] all items is slow", []),
    ('the "loop over all items is slow', []),
    ("it holds \\begin of the matrix", []),
    ("| a | b | is a row of it", []),
    ("side 4 cm", []),
    ("x = 4", ["x = 4"]),
    ("red soldiers marched into the city", ["Red soldiers marched into the city"]),
    # A question may begin with its verb; bare numbers say nothing.
    ("Is there any other term with an even power?", ["Is there any other term with an even power?"]),
    ("is the other term with an even power", []),
    ("1 + 6 + 15 + 20 + 15 + 6 + 1", []),
    # Names of code and variables keep their small letters.
    ("a² is the square of it", ["a² is the square of it"]),
    ("draw(x) is called for the line", ["draw(x) is called for the line"]),
    # Other languages.
    (
        "嗯，我们先计算总和，然后检查每一个结果",
        ["我们先计算总和，然后检查每一个结果", "我们先计算总和", "检查每一个结果"],
    ),
    (
        "我们先看这段代码 它定义了一个类",
        ["我们先看这段代码 它定义了一个类", "我们先看这段代码", "它定义了一个类"],
    ),
    ("Danach teile ich durch drei", ["Danach teile ich durch drei"]),
]


@pytest.mark.parametrize(("sentence", "wanted"), CASES)
def test_clauses(sentence: str, wanted: list[str]) -> None:
    assert clauses(sentence) == wanted


def test_a_clause_is_shortened_at_a_phrase() -> None:
    clause = "Maybe the problem is only considering the coefficient regardless of the other terms"
    assert shortened(clause, 60) == "Maybe the problem is only considering the coefficient"


@pytest.mark.parametrize(
    "clause",
    [
        "The coefficient of the whole product is six if the other variable is set to one in it",
        "I cannot remove the leading zero that is part of the representation of the number",
        "Abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_condition_is_not_cut_from_what_it_holds_for(clause: str) -> None:
    assert shortened(clause, 60) is None


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("So, why the discrepancy?", "Why the discrepancy?"),
        ("(0,2) to (2,2): a horizontal line 2 units long.", "(0,2) to (2,2): a horizontal line 2 units long"),
        ("Perhaps I need to correct my approach.", "Correcting my approach"),
        ("The first three.", ""),
        ("1 + 6 + 15", ""),
        ("because of the first three", ""),
        ("If each unit is a third", ""),
        ("the first three (of the four", ""),
    ],
)
def test_a_fragment_lacks_only_a_verb(sentence: str, wanted: str) -> None:
    assert fragment(sentence) == wanted


@pytest.mark.parametrize(
    ("beginning", "wanted"),
    [
        ("We rotate the whole figure, because the", ["We rotate the whole figure"]),
        ("We rotate f(x; and then the", []),
        ("We rotate the whole figure (so that it fits, because the", []),
        ("If we rotate the figure, because the", []),
        ("We rotate the whole", []),
    ],
)
def test_the_finished_clauses_of_a_sentence_under_way(beginning: str, wanted: list[str]) -> None:
    assert finished(beginning) == wanted


def test_terms() -> None:
    assert terms("Computing the computed computations, studies and runs") == [
        "comput",
        "comput",
        "comput",
        "study",
        "run",
    ]
    assert terms("我们算x的和") == ["我们", "们算", "x", "的和"]
    assert terms("我 x") == ["我", "x"]
    assert terms("running stopped balls") == ["run", "stop", "ball"]
    assert terms("we know that it is") == []
    assert terms("e" * 500) == ["e" * (LONGEST - 1)]


def test_scripts_without_spaces() -> None:
    assert is_cjk("我们看 x")
    assert not is_cjk("we see 我")
    assert not is_cjk("")


def test_gerunds() -> None:
    assert [gerund(verb) for verb in ("compute", "plug", "see", "tie", "add", "summarize", "dye")] == [
        "computing", "plugging", "seeing", "tying", "adding", "summarising", "dyeing",
    ]  # fmt: skip
    assert all(gerund(verb).endswith("ing") for verb in VERBS)
