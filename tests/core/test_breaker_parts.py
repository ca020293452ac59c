"""The breaker's small parts, each for itself: lengths of openings, probes, books and the words of refusals."""

from __future__ import annotations

import math

import pytest

from trio_gateway.core.breaker import Outcome, PauseCause, Permit, Reason, State, Transition, Verdict
from trio_gateway.core.breaker.books import Books
from trio_gateway.core.breaker.growth import Growth
from trio_gateway.core.breaker.probes import Probes
from trio_gateway.core.breaker.refusal_wording import why_limited, why_opened
from trio_gateway.core.config import BreakerConfig

PLAIN = BreakerConfig(open_base=5.0, open_cap=30.0, jitter=0.0)


@pytest.mark.parametrize(
    ("waits", "lengths"),
    [
        ((0, 0, 0, 0, 0), [5, 10, 20, 30, 30]),
        # what the upstream asks for is kept, and does not make the row grow faster
        ((7, 0, 100, 0), [7, 10, 100, 30]),
    ],
)
def test_openings_of_a_row_grow(waits: tuple[float, ...], lengths: list[float]) -> None:
    growth = Growth(lambda: 0.5)
    taken = []
    for wait in waits:
        known = growth.next_length(PLAIN, wait)
        taken.append(growth.take(PLAIN, wait))
        assert taken[-1] == known, "the length is known before it is taken"
    assert taken == lengths
    growth.end_row()
    assert growth.take(PLAIN) == 5


@pytest.mark.parametrize(("random", "length"), [(0.0, 4.0), (0.5, 5.0), (0.75, 5.5)])
def test_a_length_is_spread_to_both_sides(random: float, length: float) -> None:
    config = BreakerConfig(open_base=5.0, open_cap=30.0, jitter=0.2)
    assert math.isclose(Growth(lambda: random).take(config), length)


def permit(at: float) -> Permit:
    return Permit(1, probe=True, admitted_at=at)


def test_probes_end_by_their_own_time_or_that_of_half_open() -> None:
    config = BreakerConfig(probes=2, probe_timeout=15.0, max_half_open=20.0)
    probes = Probes(config, 100.0)
    assert (len(probes), probes.deadline, probes.has_room()) == (0, 120.0, True)
    first, second = permit(100.0), permit(110.0)
    probes.begin(first, 100.0)
    probes.begin(second, 110.0)
    assert (first.deadline, second.deadline, probes.has_room()) == (115.0, 120.0, False)
    assert (probes.deadline, probes.take_overdue()) == (115.0, [first])
    probes.end(first)
    assert (probes.deadline, probes.has_room(), len(probes)) == (120.0, True, 1)
    assert [probes.pass_one(), probes.pass_one()] == [False, True]
    probes.configure(BreakerConfig(probes=1))
    assert not probes.has_room()


def test_books_balance() -> None:
    books = Books()
    books.admitted, books.stale = 6, 1
    books.count(Verdict(Outcome.SUCCESS, error_class="none of it"), own_key=True)
    assert (books.in_flight, books.last_error_class) == (4, None)
    books.count(Verdict(Outcome.FAILURE, error_class="timeout"), own_key=False)
    books.count(Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, error_class="rate"), own_key=False)
    assert (books.in_flight, books.last_error_class) == (2, "timeout")
    books.count(Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, error_class="rate"), own_key=True)
    books.count(Verdict(Outcome.FAILURE), own_key=True)
    assert (books.in_flight, books.last_error_class) == (0, "rate")
    assert books.settled == {Outcome.SUCCESS: 1, Outcome.FAILURE: 2, Outcome.NEUTRAL: 2}


def test_a_late_reader_gets_the_newest_transitions() -> None:
    books = Books()
    changes = [Transition(State.CLOSED, State.OPEN, number, 0.0, Reason.CONSECUTIVE) for number in range(300)]
    books.events.extend(changes)
    assert books.drain() == changes[-256:]
    assert books.drain() == []


@pytest.mark.parametrize(
    ("reason", "counts", "said"),
    [
        (Reason.CONSECUTIVE, (1, 9), "after 1 failure in a row; the last: refused"),
        (Reason.FAILURE_RATE, (6, 10), "after 6 of 10 calls failed; the last: refused"),
        (Reason.SLOW_RATE, (8, 10), "after 8 of 10 calls had no first event in time"),
        (Reason.PROBE_FAILED, (0, 0), "because the call that tried it failed: refused"),
        (Reason.PROBE_TIMEOUT, (0, 0), "because the call that tried it had no first event in time"),
        (Reason.HALF_OPEN_OVER, (0, 0), "because the call that tried it had no first event in time"),
        (Reason.AT_ONCE, (0, 0), "because it refuses the gateway's key (status 401)"),
    ],
)
def test_why_it_opened(reason: Reason, counts: tuple[int, int], said: str) -> None:
    assert why_opened(reason, "refused", bad=counts[0], calls=counts[1]) == said


def test_every_pause_that_an_answer_asks_for_has_its_words() -> None:
    causes = set(PauseCause) - {PauseCause.FAILING}
    assert len({why_limited(cause) for cause in causes}) == len(causes)
