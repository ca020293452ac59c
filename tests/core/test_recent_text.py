"""The latest text of a stream: what is kept, what is given back, and that it stays bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.text.recent import RecentText

adding = st.tuples(st.just("add"), st.text("abcdef", max_size=30))
taking = st.tuples(st.sampled_from(["take", "keep"]), st.integers(0, 30))


@given(st.integers(1, 12), st.lists(adding | taking | st.just(("clear", 0)), max_size=40))
def test_it_keeps_the_end_in_order(limit: int, steps: list[tuple[str, str | int]]) -> None:
    recent, kept, torn = RecentText(limit), "", False
    for name, value in steps:
        match name, value:
            case "add", str(text):
                recent.add(text)
                torn = torn or len(kept + text) > limit
                kept = (kept + text)[-limit:]
            case "take", int(size):
                assert recent.take(size) == kept[:size]
                assert recent.torn is torn
                kept = kept[size:]
                recent.torn = torn = False
            case "keep", int(size):
                recent.keep(size)
                torn = torn or len(kept) > size
                kept = kept[len(kept) - min(size, len(kept)) :]
            case _:
                recent.clear()
                kept, torn = "", False
        assert len(recent) == len(kept)
    assert recent.text() == kept
    assert recent.take(limit) == kept


def test_many_small_pieces_are_joined() -> None:
    recent = RecentText(10_000)
    for number in range(100_000):
        recent.add(str(number % 10))
        assert len(recent._pieces) <= 257
        assert sum(map(len, recent._pieces)) <= 20_000
    assert recent.take(10_000) == "0123456789" * 1000
