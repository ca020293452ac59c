"""When the reasoning summary speaks. What it says is the core's business, so a fake says it here."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

from tests.engine.summaries.lines import Emitted
from trio_gateway.core.events import Ping, ReasoningLine
from trio_gateway.core.phases import Phase
from trio_gateway.core.summary import digest, plain_text
from trio_gateway.core.summary.lines import BULK_LOOK, ReasoningSummary
from trio_gateway.core.summary.terms import terms
from trio_gateway.engine.summaries.reasoning_summarizer import ReasoningSummarizer
from trio_gateway.engine.summaries.summary_model import SummaryQuestion

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_gateway.core.summary.steps import Steps


class FakeSummary:
    """Each piece of text that is fed is a line; ``-`` is text not worth one, ``~`` worth a late one only."""

    unprepared = False

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


class Heard(Emitted):
    """The lines that the client gets, with the second each came in."""

    def __init__(self, nursery: trio.Nursery, **options: Any) -> None:
        super().__init__(Phase.REASONING_SUMMARY)
        self._nursery = nursery
        self.summarizer = ReasoningSummarizer(self.outbox, **{"interval": 2.0, **options})

    def start(self) -> Heard:
        """Run the summarizer from now on."""
        self._nursery.start_soon(self.summarizer.run, self._nursery)
        self._nursery.start_soon(self.watch)
        return self

    @property
    def lines(self) -> list[tuple[float, str]]:
        return self.of(ReasoningLine)

    @property
    def signs(self) -> list[float]:
        return [when for when, event in self.events if isinstance(event, Ping)]


@pytest.fixture
async def heard(autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Heard:
    return make(nursery, monkeypatch)


def make(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Heard:
    monkeypatch.setattr(f"{ReasoningSummarizer.__module__}.ReasoningSummary", lambda **_: FakeSummary())
    return Heard(nursery, **options).start()


async def feed(summarizer: ReasoningSummarizer, at: float, text: str) -> None:
    await trio.sleep_until(at)
    summarizer.feed(text)


async def test_first_line_at_once_then_one_an_interval(heard: Heard, autojump_clock: MockClock) -> None:
    for at, text in [(1.0, "a"), (1.5, "b"), (2.5, "c"), (7.0, "d")]:
        await feed(heard.summarizer, at, text)
    await trio.sleep_until(8.0)
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(1.0, "a"), (3.0, "b c"), (7.0, "d")]
    assert heard.closed_at == 8.0


async def test_the_end_closes_the_phase_at_once_with_a_last_line(
    heard: Heard, autojump_clock: MockClock
) -> None:
    await feed(heard.summarizer, 1.0, "a")
    await feed(heard.summarizer, 1.2, "b")
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(1.0, "a"), (1.2, "b")]
    assert heard.closed_at == 1.2


async def test_no_reasoning_no_line(heard: Heard, autojump_clock: MockClock) -> None:
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert (heard.lines, heard.closed_at) == ([], 0.0)


async def test_a_thought_not_worth_a_line_costs_a_moment_not_an_interval(
    heard: Heard, autojump_clock: MockClock
) -> None:
    await feed(heard.summarizer, 1.0, "-")
    await feed(heard.summarizer, 1.1, "a")
    await trio.sleep_until(2.0)
    assert heard.lines == [(1.25, "a")]
    heard.summarizer.end()


async def test_with_nothing_new_a_sign_of_life_stands_for_the_line(
    heard: Heard, autojump_clock: MockClock
) -> None:
    await feed(heard.summarizer, 0.5, "a")
    for tenth in range(6, 101):
        await feed(heard.summarizer, tenth / 10, "-")
    await trio.sleep_until(30.0)  # silence of the upstream is not the summary's to cover
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(0.5, "a")]
    gaps = [later - sooner for sooner, later in pairwise([0.5, *heard.signs])]
    assert 4 <= len(gaps) <= 5
    assert all(2.0 <= gap <= 2.5 for gap in gaps)


async def test_a_late_line_may_be_less(heard: Heard, autojump_clock: MockClock) -> None:
    """Late is what has been waited for for one and a half intervals, since text came."""
    await feed(heard.summarizer, 0.5, "a")
    for tenth in range(60, 101):
        await feed(heard.summarizer, tenth / 10, "~")
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert [when for when, _ in heard.lines] == [0.5, pytest.approx(9.0, abs=0.26)]


async def test_another_attempt_is_not_late(heard: Heard, autojump_clock: MockClock) -> None:
    await feed(heard.summarizer, 0.5, "a")
    await feed(heard.summarizer, 1.0, "-")
    heard.summarizer.restart()
    for tenth in range(60, 80):
        await feed(heard.summarizer, tenth / 10, "~")
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.lines == [(0.5, "a")]


TRACES = [
    msgspec.json.decode(line)
    for line in (Path(__file__).parents[2] / "data" / "reasoning_traces.jsonl").read_bytes().splitlines()
]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace["id"])
async def test_real_thinking_is_told_without_gaps(
    trace: dict[str, str], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """At 30 tokens a second lines are at most two intervals apart: lines, not signs of life. None is
    nearly the same as another, and none tells the result."""
    heard = Heard(nursery).start()
    summarizer = heard.summarizer
    text = trace["reasoning"]
    for start in range(0, len(text), 4):
        summarizer.feed(text[start : start + 4])
        await trio.sleep(1 / 30)
    end = trio.current_time()
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    times = [0.0, *(when for when, _ in heard.lines), end]
    assert max(later - sooner for sooner, later in pairwise(times)) <= 4.0
    words = [frozenset(terms(line)) for _, line in heard.lines]
    assert all(len(one & other) <= 0.7 * len(one | other) for one, other in combinations(words, 2))
    result = trace["answer"].rpartition("\\boxed{")[2].partition("}")[0]
    assert not any(re.search(rf"(?:is|=|:) \$?{re.escape(result)}\b", line) for _, line in heard.lines)


async def test_another_attempt_forgets_what_was_not_told(heard: Heard, autojump_clock: MockClock) -> None:
    await feed(heard.summarizer, 1.0, "a")
    await feed(heard.summarizer, 1.5, "lost")
    heard.summarizer.restart()
    await feed(heard.summarizer, 4.0, "b")
    await trio.sleep_until(5.0)
    heard.summarizer.end()
    assert heard.lines == [(1.0, "a"), (4.0, "b")]


async def test_a_concise_summary_slows_down(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = make(nursery, monkeypatch, interval=1.0, detail="concise")
    for tenth in range(400):
        await feed(heard.summarizer, tenth / 10, "x")
    heard.summarizer.end()
    gaps = [
        round(later - sooner, 2)
        for (sooner, _), (later, _) in zip(heard.lines, heard.lines[1:], strict=False)
    ]
    assert (gaps[0], gaps[8], gaps[9], gaps[18], gaps[19]) == (1.0, 1.0, 2.0, 2.0, 4.0)


async def test_a_bug_in_the_summary_only_ends_the_summary(
    heard: Heard, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakeSummary, *, late: bool) -> Steps[str | None]:
        yield
        raise ZeroDivisionError

    monkeypatch.setattr(FakeSummary, "line_steps", broken)
    await feed(heard.summarizer, 1.0, "a")
    await feed(heard.summarizer, 2.0, "the reader of the upstream does not notice")
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert (heard.lines, heard.closed_at) == ([], 2.0)


THOUGHTS = [
    "The two trains leave at different times, so we need the distance that the slow one covers alone. ",
    "The slow one covers thirty kilometres before the fast train starts. ",
    "Then the gap closes by forty kilometres each hour. ",
    "Let me check this with positions instead of relative speed. ",
    "Both positions agree on the meeting point down the line. ",
    "We should also consider whether the stops in between change anything. ",
]


class Hanging:
    """A summarising model that never answers."""

    def ask(self, _nursery: trio.Nursery, _kind: str, _text: str, _width: int) -> SummaryQuestion:
        return SummaryQuestion()


@pytest.fixture
def worked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sentences that were worked up."""
    sentences: list[str] = []

    def plain(text: str) -> str:
        sentences.append(text)
        return plain_text.plain(text)

    monkeypatch.setattr(digest, "plain", plain)
    return sentences


@pytest.mark.parametrize("model", [None, Hanging()], ids=["extractive", "a model that hangs"])
async def test_the_answer_waits_for_little(
    model: Any, worked_up: list[str], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Thoughts are worked up as they come, between two lines and while a model is asked: all but the last."""
    heard = Heard(nursery, model=model).start()
    for thought in THOUGHTS:
        heard.summarizer.feed(thought)
        await trio.sleep(0.01)
    assert len(worked_up) == len(THOUGHTS) - 1
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert [sentence + " " for sentence in worked_up] == THOUGHTS
    assert len(heard.lines) == (2 if model is None else 1)


async def test_thoughts_that_come_with_the_answer_are_not_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is asked, and in one turn come another thought and the answer: there is nothing to wait for."""
    turns = 0
    prepare = ReasoningSummary.prepare_steps

    def counted(summary: ReasoningSummary) -> Steps[None]:
        nonlocal turns
        turns += 1
        assert turns < 100, "it goes round without a checkpoint"
        return prepare(summary)

    monkeypatch.setattr(ReasoningSummary, "prepare_steps", counted)
    heard = Heard(nursery, model=Hanging()).start()
    heard.summarizer.feed("".join(THOUGHTS))
    await trio.testing.wait_all_tasks_blocked()
    heard.summarizer.feed("".join(THOUGHTS))
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert heard.closed_at == 0.0
    assert turns < 100


async def test_reasoning_that_comes_at_once_is_read_at_its_end_only(
    worked_up: list[str], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    heard = Heard(nursery).start()
    heard.summarizer.feed("".join(THOUGHTS) * 500)
    await trio.testing.wait_all_tasks_blocked()
    assert len(heard.lines) == 1
    heard.summarizer.feed("".join(THOUGHTS) * 500)
    await trio.testing.wait_all_tasks_blocked()
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    assert sum(map(len, worked_up)) <= 3 * BULK_LOOK


SECRET = "The password is plutonium42. "
SYSTEM = {
    "short": SECRET,
    "of 64 KiB": SECRET + "Answer in the tone of a friendly clerk. " * 1600,
}
REASONING = "The password plutonium42 was named here. We count the spoons in the upper drawer. So"


@pytest.mark.parametrize("prompt", SYSTEM)
@pytest.mark.parametrize("thinks", [False, True], ids=["at once", "after a while"])
async def test_no_line_before_the_system_prompt_is_known(
    prompt: str, thinks: bool, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """It is read when reasoning begins. The answer does not wait until a long one is read; nor does a line
    leave without."""
    heard = Heard(nursery, messages=[{"role": "system", "content": SYSTEM[prompt]}]).start()
    heard.summarizer.feed(REASONING)
    if thinks:
        await trio.testing.wait_all_tasks_blocked()
    heard.summarizer.end()
    await trio.testing.wait_all_tasks_blocked()
    known = thinks or prompt == "short"
    assert [line for _, line in heard.lines] == ["We count the spoons in the upper drawer"] * known
    assert heard.closed_at == 0.0
