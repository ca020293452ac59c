"""The count of what comes in too fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.server.transport.flood import Flood


@given(st.lists(st.integers(0, 10)), st.integers(0, 5))
def test_it_is_one_too_many_when_the_window_holds_more(gaps: list[int], limit: int) -> None:
    flood = Flood(limit, seconds=10.0)
    instants: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        instants.append(now)
        assert flood.add(now) == (sum(each > now - 10.0 for each in instants) > limit)
