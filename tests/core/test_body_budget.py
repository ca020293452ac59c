"""Ledger of bodies: its bounds hold in every order of events, and what is released is free again."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from trio_gateway.core.budgets.body_ledger import SMALL, BodyBudget, BodyHold

MIB = 1024 * 1024


def test_what_is_counted_is_taken_until_it_is_released() -> None:
    budget = BodyBudget(100 * MIB)
    hold = budget.hold("a")
    assert hold.add(MIB)
    assert (hold.held, budget.taken) == (MIB, MIB)
    hold.release()
    hold.release()
    assert (hold.held, budget.taken) == (0, 0)


def test_nothing_is_added_to_a_hold_that_was_released() -> None:
    budget = BodyBudget(100)
    hold = budget.hold(None)
    hold.release()
    assert not hold.add(1)
    assert budget.taken == 0


def test_the_last_quarter_is_for_small_bodies() -> None:
    budget = BodyBudget(40 * MIB)
    large = budget.hold(None)
    assert large.add(30 * MIB)
    assert not large.add(1)
    assert not budget.hold(None, announced=SMALL + 1).add(1)
    small = [budget.hold(None) for _ in range(10)]
    assert all(hold.add(MIB) for hold in small)
    assert not budget.hold(None).add(1)


def test_a_small_body_that_grows_needs_room_outside_the_last_quarter() -> None:
    budget = BodyBudget(40 * MIB)
    growing = budget.hold(None)
    assert growing.add(MIB)
    assert budget.hold(None).add(29 * MIB)
    assert not growing.add(1)
    assert growing.held == MIB


def test_one_owner_holds_at_most_half() -> None:
    budget = BodyBudget(100)
    first, second, other = budget.hold("a"), budget.hold("a"), budget.hold("b")
    assert first.add(30)
    assert second.add(20)
    assert not first.add(1)
    assert other.add(50)
    second.release()
    assert first.add(20)


def test_whoever_has_no_name_is_bound_by_no_half() -> None:
    budget = BodyBudget(100)
    assert budget.hold(None).add(100)


def test_what_is_announced_can_be_refused_early() -> None:
    budget = BodyBudget(40 * MIB)
    assert budget.hold("a", announced=20 * MIB).fits()
    assert not budget.hold("a", announced=20 * MIB + 1).fits()
    assert budget.hold(None, announced=30 * MIB).fits()
    assert not budget.hold(None, announced=31 * MIB).fits()
    assert budget.taken == 0


def test_it_is_crowded_when_more_than_half_is_taken() -> None:
    budget = BodyBudget(100)
    hold = budget.hold(None)
    hold.add(50)
    assert not budget.crowded
    hold.add(1)
    assert budget.crowded


def test_a_smaller_limit_takes_nothing_away_and_lets_nothing_grow() -> None:
    budget = BodyBudget(100)
    hold = budget.hold(None)
    hold.add(80)
    budget.limit = 40
    assert hold.held == 80
    assert not hold.add(1)
    hold.release()
    assert budget.hold(None).add(40)


class Ledger(RuleBasedStateMachine):
    """Bodies of several owners come, grow and go in any order."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.budget = BodyBudget(16 * SMALL)
        self.all: list[BodyHold] = []

    @rule(target=holds, owner=st.sampled_from([None, "a", "b"]), announced=st.integers(0, 3 * SMALL))
    def come(self, owner: str | None, announced: int) -> BodyHold:
        hold = self.budget.hold(owner, announced)
        self.all.append(hold)
        return hold

    @rule(hold=holds, size=st.integers(0, 3 * SMALL))
    def grow(self, hold: BodyHold, size: int) -> None:
        before = hold.held
        assert hold.held == before + size if hold.add(size) else hold.held == before

    @rule(hold=holds)
    def go(self, hold: BodyHold) -> None:
        hold.release()

    @rule(owner=st.sampled_from(["c", None]))
    def a_small_one_is_turned_away_by_small_ones_alone(self, owner: str | None) -> None:
        small = sum(hold.held for hold in self.all if max(hold.held, hold.announced) <= SMALL)
        if small + SMALL <= 4 * SMALL:
            hold = self.budget.hold(owner)
            assert hold.add(SMALL)
            hold.release()

    @invariant()
    def the_bounds_hold(self) -> None:
        assert self.budget.taken == sum(hold.held for hold in self.all) <= 16 * SMALL
        for owner in ("a", "b"):
            assert sum(hold.held for hold in self.all if hold.owner == owner) <= 8 * SMALL


TestLedger = Ledger.TestCase


@pytest.mark.parametrize("owner", ["a", None])
def test_nothing_is_kept_of_an_owner_who_has_left(owner: str | None) -> None:
    budget = BodyBudget(100)
    for _ in range(3):
        hold = budget.hold(owner)
        hold.add(1)
        hold.release()
    assert not budget._owned
