"""Inner starts of a block: each end closes one, those within lines first."""

from __future__ import annotations

import pytest

from trio_gateway.core.reasoning.nesting import InnerStarts


@pytest.mark.parametrize("places", [[], [True], [False], [True, False], [True, True, False]])
def test_as_many_ends_as_starts_close_all(places: list[bool]) -> None:
    starts = InnerStarts()
    for at_line in places:
        starts.add(at_line=at_line)
    for left in range(len(places), 0, -1):
        assert (bool(starts), starts.at_lines + starts.in_lines) == (True, left)
        starts.close()
    assert (bool(starts), starts.at_lines, starts.in_lines) == (False, 0, 0)


def test_an_end_closes_a_start_within_a_line_before_one_at_a_start() -> None:
    starts = InnerStarts()
    starts.add(at_line=True)
    starts.add(at_line=False)
    starts.close()
    assert (starts.at_lines, starts.in_lines) == (1, 0)
