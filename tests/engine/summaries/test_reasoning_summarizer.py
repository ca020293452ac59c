"""When the reasoning summary speaks. What it says is the core's business, so a fake says it here."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from trio_gateway.engine.summarizer import Summarizer

from trio_gateway.core.events import Batch, Ping, ReasoningLine
from trio_gateway.core.summary.terms import terms

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.core.summary.steps import Steps


class FakeSummary:
    """Each piece of text that is fed is a line; ``-`` is text not worth one, ``~`` worth a late one only."""

    def __init__(self) -> None:
        self._new: list[str] = []

    def feed(self, text: str) -> None:
        self._new.append(text)

    @property
    def ready(self) -> bool:
        return bool(self._new)

    def line_steps(self, *, late: bool) -> Steps[str | None]:
        new, self._new = self._new, []
        yield
        told = [text for text in new if text not in ("-", "~") or (late and text == "~")]
        return " ".join(told) or None

    def last_steps(self) -> Steps[str | None]:
        return self.line_steps(late=False)

    def restart(self) -> None:
        self._new = []


class Heard:
    """The lines a client gets, with the second each came in."""

    def __init__(self, summarizer: Summarizer, nursery: trio.Nursery) -> None:
        self.lines: list[tuple[float, str]] = []
        self.signs: list[float] = []
        self.closed_at: float | None = None
        send, receive = trio.open_memory_channel[Batch](1)
        nursery.start_soon(summarizer.run, send)
        nursery.start_soon(self._listen, receive)

    async def _listen(self, receive: trio.MemoryReceiveChannel[Batch]) -> None:
        async for (event,) in receive:
            now = round(trio.current_time(), 3)
            if isinstance(event, ReasoningLine):
                self.lines.append((now, event.text))
            else:
                assert isinstance(event, Ping)
                self.signs.append(now)
        self.closed_at = round(trio.current_time(), 3)


@pytest.fixture
async def summarizer(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> Summarizer:
    return make(monkeypatch)


def make(monkeypatch: pytest.MonkeyPatch, **options: object) -> Summarizer:
    monkeypatch.setattr("trio_gateway.engine.summarizer.ReasoningSummary", lambda **_: FakeSummary())
    return Summarizer(**{"interval": 2.0, **options})  # type: ignore[arg-type]


async def feed(summarizer: Summarizer, at: float, text: str) -> None:
    await trio.sleep_until(at)
    summarizer.feed(text)


async def test_first_line_at_once_then_one_an_interval(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    for at, text in [(1.0, "a"), (1.5, "b"), (2.5, "c"), (7.0, "d")]:
        await feed(summarizer, at, text)
    await trio.sleep_until(8.0)
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(1.0, "a"), (3.0, "b c"), (7.0, "d")]
    assert heard.closed_at == 8.0


async def test_the_end_closes_the_phase_at_once_with_a_last_line(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 1.0, "a")
    await feed(summarizer, 1.2, "b")
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(1.0, "a"), (1.2, "b")]
    assert heard.closed_at == 1.2


async def test_no_reasoning_no_line(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert (heard.lines, heard.closed_at) == ([], 0.0)


async def test_a_thought_not_worth_a_line_costs_a_moment_not_an_interval(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 1.0, "-")
    await feed(summarizer, 1.1, "a")
    await trio.sleep_until(2.0)
    assert heard.lines == [(1.25, "a")]
    summarizer.end()


async def test_with_nothing_new_a_sign_of_life_stands_for_the_line(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 0.5, "a")
    for tenth in range(6, 101):
        await feed(summarizer, tenth / 10, "-")
    await trio.sleep_until(30.0)  # silence of the upstream is not the summary's to cover
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(0.5, "a")]
    gaps = [later - sooner for sooner, later in pairwise([0.5, *heard.signs])]
    assert 4 <= len(gaps) <= 5
    assert all(2.0 <= gap <= 2.5 for gap in gaps)


async def test_a_late_line_may_be_less(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Late is what has been waited for for one and a half intervals, since text came."""
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 0.5, "a")
    for tenth in range(60, 101):
        await feed(summarizer, tenth / 10, "~")
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert [when for when, _ in heard.lines] == [0.5, pytest.approx(9.0, abs=0.26)]


async def test_another_attempt_is_not_late(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 0.5, "a")
    await feed(summarizer, 1.0, "-")
    summarizer.restart()
    for tenth in range(60, 80):
        await feed(summarizer, tenth / 10, "~")
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(0.5, "a")]


TRACES = [
    msgspec.json.decode(line)
    for line in (Path(__file__).parents[1] / "data" / "reasoning_traces.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace["id"])
async def test_real_thinking_is_told_without_gaps(
    trace: dict[str, str], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """At 30 tokens a second lines are at most two intervals apart: lines, not signs of life. None is
    nearly the same as another, and none tells the result."""
    summarizer = Summarizer(interval=2.0)
    heard = Heard(summarizer, nursery)
    text = trace["reasoning"]
    for start in range(0, len(text), 4):
        summarizer.feed(text[start : start + 4])
        await trio.sleep(1 / 30)
    end = trio.current_time()
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    times = [0.0, *(when for when, _ in heard.lines), end]
    assert max(later - sooner for sooner, later in pairwise(times)) <= 4.0
    words = [frozenset(terms(line)) for _, line in heard.lines]
    assert all(len(one & other) <= 0.7 * len(one | other) for one, other in combinations(words, 2))
    result = trace["answer"].rpartition("\\boxed{")[2].partition("}")[0]
    assert not any(re.search(rf"(?:is|=|:) \$?{re.escape(result)}\b", line) for _, line in heard.lines)


async def test_another_attempt_forgets_what_was_not_told(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 1.0, "a")
    await feed(summarizer, 1.5, "lost")
    summarizer.restart()
    await feed(summarizer, 4.0, "b")
    await trio.sleep_until(5.0)
    summarizer.end()
    assert heard.lines == [(1.0, "a"), (4.0, "b")]


async def test_silent_means_silent(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    summarizer = make(monkeypatch, silent=True)
    heard = Heard(summarizer, nursery)
    summarizer.feed("a")
    await trio.sleep(5)
    summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert (heard.lines, heard.closed_at) == ([], 5.0)


async def test_a_concise_summary_slows_down(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    summarizer = make(monkeypatch, interval=1.0, detail="concise")
    heard = Heard(summarizer, nursery)
    for tenth in range(400):
        await feed(summarizer, tenth / 10, "x")
    summarizer.end()
    gaps = [
        round(later - sooner, 2)
        for (sooner, _), (later, _) in zip(heard.lines, heard.lines[1:], strict=False)
    ]
    assert (gaps[0], gaps[8], gaps[9], gaps[18], gaps[19]) == (1.0, 1.0, 2.0, 2.0, 4.0)


async def test_a_bug_in_the_summary_only_ends_the_summary(
    summarizer: Summarizer, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeSummary, *, late: bool) -> Steps[str | None]:
        yield
        raise ZeroDivisionError

    monkeypatch.setattr(FakeSummary, "line_steps", broken)
    heard = Heard(summarizer, nursery)
    await feed(summarizer, 1.0, "a")
    await trio.testing.wait_all_tasks_blocked()
    assert (heard.lines, heard.closed_at) == ([], 1.0)
    summarizer.feed("the reader of the upstream does not notice")
    summarizer.end()
