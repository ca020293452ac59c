"""A ledger of bytes: whatever its holders do, the sum is right and the limit is kept."""

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.budgets.held_bytes import ByteBudget


def test_what_does_not_fit_changes_nothing() -> None:
    budget = ByteBudget(100)
    first, second = budget.hold(), budget.hold()
    assert first.resize(60)
    assert not second.resize(41)
    assert second.resize(40)
    assert (first.amount, second.amount, budget.held) == (60, 40, 100)


def test_releasing_twice_is_harmless_and_a_holding_can_be_used_again() -> None:
    budget = ByteBudget(100)
    holding = budget.hold()
    assert holding.resize(100)
    holding.release()
    holding.release()
    assert budget.held == 0
    assert holding.resize(7)
    assert budget.held == 7


def test_under_a_lower_limit_nothing_grows_but_everything_shrinks() -> None:
    budget = ByteBudget(100)
    holding = budget.hold()
    holding.resize(80)
    budget.limit = 50
    assert not holding.resize(81)
    assert holding.resize(70)
    assert not holding.resize(71)
    assert budget.held == 70


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 60)), max_size=40))
def test_the_sum_is_that_of_all_holdings_and_within_the_limit(steps: list[tuple[int, int | None]]) -> None:
    budget = ByteBudget(100)
    holdings = [budget.hold() for _ in range(4)]
    for number, amount in steps:
        if amount is None:
            holdings[number].release()
        else:
            others = budget.held - holdings[number].amount
            assert holdings[number].resize(amount) == (
                others + amount <= 100 or amount <= holdings[number].amount
            )
        assert budget.held == sum(holding.amount for holding in holdings) <= 100
