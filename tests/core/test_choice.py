"""Which clauses make a line, where the whole summary seldom comes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.summary.choice import FEWEST_TERMS, TRIED, Clause, ClauseChoice
from trio_gateway.core.summary.salience import ShownClauses, Weights
from trio_gateway.core.summary.steps import SLICE, at_once
from trio_gateway.core.summary.terms import terms


def clause(text: str, sentence: int = 1) -> Clause:
    return Clause(text, frozenset(terms(text)), sentence)


WORDS = [
    "apple",
    "pear",
    "plum",
    "cherry",
    "grape",
    "melon",
    "lemon",
    "fig",
    "date",
    "olive",
    "quince",
    "berry",
    "17",
    "23",
    "2+2=4",
]


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=2, max_size=9), st.integers(1, 4)), max_size=9
    ),
    st.lists(st.lists(st.sampled_from(WORDS)), max_size=5),
)
def test_the_best_pair_is_the_best_of_all(
    drawn: list[tuple[list[str], int]], before: list[list[str]]
) -> None:
    weights = Weights()
    for words in before:
        weights.learn([terms(" ".join(words))])
        weights.close()
    weights.learn(terms(" ".join(words)) for words, _ in drawn)
    options = [clause(" ".join(words), sentence) for words, sentence in drawn]
    choice = ClauseChoice("concise", weights, ShownClauses())
    usable = [one for one in options if len(one.terms) >= FEWEST_TERMS]
    lines = [[one] for one in usable]
    lines += [[one, other] for one in usable for other in usable if one.sentence < other.sentence]
    fitting = [line for line in lines if choice._fits(line)]
    best = at_once(choice.best(options))
    assert bool(best) >= bool(fitting)
    if fitting:
        assert choice._value(best) == pytest.approx(max(map(choice._value, fitting)))


def test_the_work_is_cut_into_slices() -> None:
    shown = ShownClauses()
    for number in range(300):
        shown.add(frozenset(f"t{number}x{other}" for other in range(5)))
    options = [clause(" ".join(f"w{number}x{other}" for other in range(40)), number) for number in range(200)]
    slices = sum(1 for _ in ClauseChoice("detailed", Weights(), shown).best(options))
    assert slices >= sum(2 * len(option.terms) for option in options) // SLICE
    known = [clause(" ".join(f"t{number}x{other}" for other in range(5)), number) for number in range(300)]
    slices = sum(1 for _ in ClauseChoice("detailed", Weights(), shown).best(known))
    assert slices >= TRIED // 4
