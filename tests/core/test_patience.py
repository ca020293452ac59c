"""Patience: by when an upstream's next event must come, for every order of events and comments."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import UpstreamConfig
from trio_gateway.core.upstream_api.patience import Patience

CONFIG = UpstreamConfig(url="http://x", first_event_timeout=10.0, idle_timeout=4.0, queue_timeout=25.0)


@pytest.mark.parametrize(
    ("signs", "deadline"),
    [
        ("", 10),
        ("c3", 13),
        ("c3 c9 c15", 25),
        ("c3 c9 c15 c24", 25),
        ("e3", 7),
        ("c9 e18", 22),
        ("e3 c5", 9),
        ("e3 c6 c9 c12 c15 c18 c21 c24 c27", 28),
        ("e3 c6 e7", 11),
    ],
)
def test_the_deadline(signs: str, deadline: float) -> None:
    assert wait(CONFIG, signs).deadline == deadline


def wait(config: UpstreamConfig, signs: str) -> Patience:
    patience = Patience(config, 0.0)
    for sign in signs.split():
        (patience.event if sign[0] == "e" else patience.comment)(float(sign[1:]))
    return patience


@pytest.mark.parametrize(
    ("signs", "now", "queued"),
    [
        ("", 25, False),
        ("c3 c9 c15 c24", 25, True),
        ("c3 c9 c15", 24.9, False),
        ("c3", 13, False),
        ("c3 c9 c15 c24 e24.5", 28.5, False),
        ("e1 c3 c6 c9 c12 c15 c18 c21 c24", 26, True),
    ],
)
def test_it_was_queued_when_comments_came_for_the_whole_time(signs: str, now: float, queued: bool) -> None:
    assert wait(CONFIG, signs).was_queued(now) is queued


def test_a_queue_timeout_that_is_shorter_takes_nothing_away() -> None:
    config = UpstreamConfig(url="http://x", first_event_timeout=10.0, queue_timeout=5.0)
    patience = wait(config, "c3 c9")
    assert patience.deadline == 10.0
    assert patience.was_queued(10.0)


@given(st.lists(st.tuples(st.sampled_from("ec"), st.floats(0, 3)), max_size=30))
def test_comments_never_shorten_it_and_never_beyond_the_queue_timeout(signs: list[tuple[str, float]]) -> None:
    patience, now, since = Patience(CONFIG, 0.0), 0.0, 0.0
    for sign, pause in signs:
        now += pause
        before = patience.deadline
        if sign == "e":
            patience.event(now)
            since = now
            assert patience.deadline == now + 4.0
        else:
            patience.comment(now)
            assert before <= patience.deadline <= max(before, since + 25.0)


TIMERS: dict[str, tuple[float, float, float]] = {
    # the timer before, its latest end, the timer after: the next event must come by 30.0, a step is 0.1
    "none yet": (inf, inf, 30.0),
    "much too early": (20.0, inf, 30.0),
    "a little too early": (29.95, inf, 30.1),
    "just right": (30.0, inf, 30.0),
    "late by less than a step": (30.05, inf, 30.05),
    "late by nearly a step": (30.099, inf, 30.099),
    "later": (31.0, inf, 30.0),
    "over before": (30.05, 12.0, 12.0),
    "over before, and too early": (29.95, 30.02, 30.02),
}


@pytest.mark.parametrize("case", TIMERS.values(), ids=TIMERS)
def test_the_timer(case: tuple[float, float, float]) -> None:
    before, at_most, after = case
    patience = Patience(UpstreamConfig(url="http://x", idle_timeout=10.0), 0.0)
    patience.event(20.0)
    assert patience.timer(before, at_most) == pytest.approx(after)


@given(st.lists(st.floats(0.0, 12.0), min_size=1, max_size=50))
def test_the_timer_is_never_early_and_late_by_a_step_at_the_most(pauses: list[float]) -> None:
    patience, now, timer = Patience(UpstreamConfig(url="http://x", idle_timeout=10.0), 0.0), 0.0, inf
    for pause in pauses:
        now += pause
        patience.event(now)
        timer = patience.timer(timer, inf)
        assert now + 10.0 - 1e-6 <= timer <= now + 10.1 + 1e-6


def test_a_stream_of_tokens_moves_it_seldom() -> None:
    patience, timer, moved = Patience(UpstreamConfig(url="http://x", idle_timeout=10.0), 0.0), inf, 0
    for number in range(1000):  # 40 a second
        patience.event(number / 40)
        before, timer = timer, patience.timer(timer, inf)
        moved += timer != before
    assert moved < 300
