"""The memory of one request: what is counted, what is refused, and why."""

from __future__ import annotations

import pytest

from trio_gateway.core.budgets.held_bytes import ByteBudget
from trio_gateway.core.config import ServerConfig
from trio_gateway.engine.memory import COUNTED_OVER, RequestMemory


def memory(shared: ByteBudget, **server: int) -> RequestMemory:
    return RequestMemory(ServerConfig(**server), shared)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "held"), [(0, 0), (COUNTED_OVER, 0), (COUNTED_OVER + 1, COUNTED_OVER + 1)])
def test_small_ones_are_not_counted(size: int, held: int) -> None:
    shared = ByteBudget(10**9)
    mine = memory(shared)
    event = mine.hold_event()
    assert mine.fits(event, size)
    assert shared.held == held
    event.release()
    assert mine.answer_refusal(size) is None
    assert shared.held == held
    mine.close()
    mine.close()
    assert shared.held == 0


def test_small_ones_come_through_when_nothing_is_left() -> None:
    shared = ByteBudget(100_000)
    first, second = memory(shared), memory(shared)
    assert first.answer_refusal(100_000) is None
    assert second.answer_refusal(COUNTED_OVER) is None
    assert second.fits(second.hold_event(), COUNTED_OVER)
    assert "too many large answers" in (second.answer_refusal(COUNTED_OVER + 1) or "")
    first.close()
    assert second.answer_refusal(COUNTED_OVER + 1) is None


def test_an_answer_has_a_limit_of_its_own() -> None:
    mine = memory(ByteBudget(10**9), max_answer=1000)
    assert mine.answer_refusal(1000) is None
    assert "larger than 1000 bytes" in (mine.answer_refusal(1001) or "")
    assert "larger than 1000 bytes" in (mine.refusal(mine.hold_event(), 1001) or "")


def test_another_attempt_begins_anew() -> None:
    shared = ByteBudget(10**9)
    mine = memory(shared)
    assert mine.answer_refusal(10**6) is None
    assert mine.answer_refusal(5) is None
    assert shared.held == 0
