"""Which clauses make a line, where the whole summary seldom comes to."""

from __future__ import annotations

from trio_gateway.core.summary.choice import TRIED, Clause, ClauseChoice
from trio_gateway.core.summary.salience import ShownClauses, Weights
from trio_gateway.core.summary.steps import SLICE
from trio_gateway.core.summary.terms import terms


def clause(text: str, sentence: int = 1) -> Clause:
    return Clause(text, frozenset(terms(text)), sentence)


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
