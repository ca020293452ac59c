"""What one client asks, and what the upstream answers to it, never turns another client away.

Client A asks for what it likes and gets whatever answer there is (the loss of connections apart, which is
nobody's request). Client B gets good answers, in any order between A's, and never stays away for a whole window: alone
in the window A may open the breaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.core.breaking import FAILED, LIMITED, NEUTRAL, NO_KEY, NO_QUOTA, SUCCESS, call, make, permit
from trio_gateway.core.breaker import CircuitBreaker, Permit, State
from trio_gateway.core.config import BreakerConfig

if TYPE_CHECKING:
    from trio_gateway.core.breaker import Verdict

ANSWERS = (FAILED, replace(FAILED, retry_after=30.0), LIMITED, NO_QUOTA, NO_KEY, NEUTRAL, SUCCESS)
ENDS = st.sampled_from(ANSWERS) | st.just(FAILED)


@dataclass(frozen=True)
class Step:
    """Time passes, and a client acts: it begins a call, or one of its calls has its first event, or ends."""

    wait: float
    client: str
    act: str
    which: int
    model: str
    body: int
    verdict: Verdict


STEP = st.builds(
    Step,
    wait=st.sampled_from([0.0, 0.0, 0.5, 3.0, 9.0]),
    client=st.sampled_from("aaaab"),
    act=st.sampled_from(["begin", "event", "end", "end"]),
    which=st.integers(0, 30),
    model=st.sampled_from("xyz"),
    body=st.integers(0, 40),
    verdict=ENDS,
)
CONFIG = st.builds(
    BreakerConfig,
    window=st.just(20.0),
    window_calls=st.sampled_from([0, 0, 4, 9]),
    min_calls=st.integers(1, 4),
    failure_rate=st.sampled_from([0.05, 0.5, 1.0]),
    consecutive=st.integers(0, 6),
    slow_after=st.sampled_from([1.0, 8.0]),
    slow_rate=st.sampled_from([0.05, 0.5, 1.0]),
    probe_timeout=st.sampled_from([1.0, 15.0]),
)


class Play:
    """A breaker between the two. B's model is its own, so that no limit A meets can concern it."""

    def __init__(self, config: BreakerConfig) -> None:
        self.breaker: CircuitBreaker = make(config)
        self.config = config
        self.now = 0.0
        self.running: dict[str, list[Permit]] = {"a": [], "b": []}
        self.seen_at = 0.0
        self.ended_since = 0
        self.greet()

    def take(self, step: Step) -> None:
        away = self.now + step.wait - self.seen_at > 17.0 or self.ended_since > self.config.window_calls - 3
        if away and not self.running["b"]:
            self.greet()
        self.now += step.wait
        running = self.running[step.client]
        if step.act == "begin" or not running:
            self.begin(step)
        if not running:  # it was refused
            return
        match step.act:
            case "event":
                self.breaker.confirm(running[step.which % len(running)], self.now)
            case "end" if step.client == "a":
                self.breaker.settle(running.pop(step.which % len(running)), step.verdict, self.now)
                self.ended_since += 1
            case "end":
                self.finish(running.pop(step.which % len(running)))

    def begin(self, step: Step) -> None:
        asked = call("b", "good") if step.client == "b" else call("a", step.model, step.body)
        admitted = self.breaker.admit(self.now, asked)
        if isinstance(admitted, Permit):
            self.running[step.client].append(admitted)
        else:
            assert step.client == "a"

    def greet(self) -> None:
        """B has a good answer at once."""
        self.finish(permit(self.breaker, self.now, call("b", "good")))

    def finish(self, one: Permit) -> None:
        # B's answers are good ones: they begin in time.
        one.admitted_at = max(one.admitted_at, self.now - self.config.slow_after)
        self.breaker.confirm(one, self.now)
        self.breaker.settle(one, SUCCESS, self.now)
        self.seen_at, self.ended_since = self.now, 0


@given(config=CONFIG, steps=st.lists(STEP, min_size=20, max_size=120))
def test_nothing_that_one_client_gets_turns_another_away(config: BreakerConfig, steps: list[Step]) -> None:
    play = Play(config)
    for step in steps:
        play.take(step)
        assert play.breaker.can_admit(play.now)
    assert isinstance(play.breaker.admit(play.now, call("b", "good")), Permit)
    assert play.breaker.snapshot(play.now).state is State.CLOSED
    assert play.breaker.drain_events() == []
