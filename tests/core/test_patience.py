"""Patience: by when an upstream's next event must come, for every order of events and comments."""

from __future__ import annotations

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
