"""Clauses worth reading, and the words they are made of."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.clauses import clauses, cut_short, finished, fragment, is_claim, shortened
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


# A statement never stands without its condition, and nothing that is only supposed stands as a fact.
QUALIFIED = [
    ("The retry is safe, but only if the server knows the key.", ["The retry is safe"]),
    ("The parser accepts commas, unless it reads the old dialect.", ["The parser accepts commas"]),
    (
        "The firm is liable for it; provided that he acted in his job, so we win.",
        ["The firm is liable for it", "We win"],
    ),
    ("If the list is empty, the function raises an error.", ["The function raises an error"]),
    (
        "Unless they agreed on it, the lease can end in May, so we move out.",
        ["The lease can end in May", "We move out"],
    ),
    ("Maybe the pool is empty, so every query waits for it.", ["Every query waits for it"]),
    ("It seems that the key is missing.", ["The key is missing"]),
    ("I guess the key is missing.", ["The key is missing"]),
    ("No list is empty in the file.", ["List is empty in the file"]),
    ("买方可以解除这份合同，除非卖方在三十天内补交货物。", ["买方可以解除这份合同"]),
    ("缓存看起来就是问题的原因，但是日志里没有记录。", ["缓存看起来就是问题的原因"]),
    ("如果用户没有登录系统，页面会跳转到首页。", ["页面会跳转到首页"]),
    ("Der Antrag ist zulässig; sofern die Frist gewahrt ist.", ["Der Antrag ist zulässig"]),
]


@pytest.mark.parametrize(("sentence", "barred"), QUALIFIED)
def test_a_statement_stands_with_what_limits_it(sentence: str, barred: list[str]) -> None:
    assert not set(clauses(sentence)).intersection(barred)


def test_what_the_next_part_takes_back_stands_with_it() -> None:
    assert clauses("The limit is high, but the program takes its size from the host, unless it is told.") == [
        "The limit is high, but the program takes its size from the host, unless it is told",
        "The program takes its size from the host, unless it is told",
    ]
    assert "The test is red" in clauses("The cache may be cold, but the test is red, so we stop.")


@pytest.mark.parametrize(
    ("clause", "claim"),
    [
        ("The cache is cold", True),
        ("Retrying the request is safe", True),
        ("Checking whether the cache is cold", False),
        ("Checking the cache", False),
        ("Is the cache cold?", False),
        ("Maybe the cache is cold", False),
    ],
)
def test_claims(clause: str, claim: bool) -> None:
    assert is_claim(clause) is claim


def test_no_condition_is_cut_off() -> None:
    assert cut_short("The garden is watered every day in the summer", 30) == "The garden is watered every…"
    assert cut_short("The garden is watered every day if it is dry", 30) is None
    assert shortened("We water the garden in the evening with a can unless it rains in the night", 50) is None


@pytest.mark.parametrize(
    ("beginning", "wanted"),
    [
        ("We can cancel the contract, unless they", []),
        ("我们现在可以解除这份合同，除非", []),
        ("我们现在可以解除这份合同，然后再比较两个版本的交货日期和付款条款", ["我们现在可以解除这份合同"]),
    ],
)
def test_a_condition_may_still_come(beginning: str, wanted: list[str]) -> None:
    assert finished(beginning) == wanted
