"""What holds for every history of calls, whatever the configuration."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.breaker import CircuitBreaker, Outcome, Permit, Snapshot, Transition
from trio_gateway.core.config import BreakerConfig

S, F, N = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL


@dataclass(frozen=True)
class Step:
    """Time passes, a call is asked for, and one of those that run (the index is taken modulo) ends."""

    wait: float
    ends: int
    outcome: Outcome
    slow: bool
    opens: bool
    retry_after: float | None
    throttle: bool


STEP = st.builds(
    Step,
    wait=st.sampled_from([0.0, 0.0, 0.5, 2.0, 9.0, 31.0]),
    ends=st.integers(0, 50),
    outcome=st.sampled_from(Outcome),
    slow=st.booleans(),
    opens=st.sampled_from([False, False, False, True]),
    retry_after=st.sampled_from([None, 1.0, 7.0]),
    throttle=st.booleans(),
)
STEPS = st.lists(STEP, min_size=1, max_size=30)
CONFIG = st.builds(
    BreakerConfig,
    window=st.just(20.0),
    window_calls=st.sampled_from([0, 5]),
    min_calls=st.integers(1, 4),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    consecutive=st.integers(0, 4),
    slow_rate=st.sampled_from([0.5, 1.0]),
    open_base=st.sampled_from([1.0, 4.0]),
    open_cap=st.sampled_from([4.0, 16.0]),
    jitter=st.sampled_from([0.0, 0.25]),
    probes=st.integers(1, 3),
    probe_timeout=st.just(8.0),
    max_half_open=st.just(16.0),
)


def middle() -> float:
    return 0.5


def settle(breaker: CircuitBreaker, permit: Permit, step: Step, now: float) -> bool:
    return breaker.settle(
        permit,
        step.outcome,
        now,
        slow=step.slow,
        opens=step.opens,
        retry_after=step.retry_after,
        throttle=step.throttle,
        error_class="truncated",
    )


class Run:
    """A breaker that has lived through *steps*, and what it showed after each."""

    def __init__(
        self, config: BreakerConfig, steps: list[Step], *, start: float = 0.0, times: int = 1
    ) -> None:
        self.breaker = CircuitBreaker(config, now=start, random=middle)
        self.now = start
        self.running: list[Permit] = []
        self.shown: list[Snapshot] = []
        self.told: list[Transition] = []
        for step in steps:
            self.now += step.wait
            self.take(step, times)
            self.shown.append(self.breaker.snapshot(self.now))
            self.told += self.breaker.drain_events()

    def take(self, step: Step, times: int) -> None:
        answer = self.breaker.admit(self.now)
        if isinstance(answer, Permit):
            self.running.append(answer)
        if self.running and step.ends % 3:  # now and then a call goes on
            permit = self.running.pop(step.ends % len(self.running))
            for _ in range(times):
                settle(self.breaker, permit, step, self.now)


@given(config=CONFIG, steps=STEPS, start=st.sampled_from([-512.0, 0.125, 2.0**30]))
def test_translation_of_time_changes_nothing(config: BreakerConfig, steps: list[Step], start: float) -> None:
    here, there = Run(config, steps), Run(config, steps, start=start)
    assert there.shown == here.shown
    assert [replace(event, at=event.at - start) for event in there.told] == here.told


@given(config=CONFIG, steps=STEPS)
def test_settling_twice_equals_once(config: BreakerConfig, steps: list[Step]) -> None:
    once, twice = Run(config, steps), Run(config, steps, times=2)
    assert (twice.shown, twice.told) == (once.shown, once.told)


@given(config=CONFIG, steps=STEPS, late=STEP)
def test_stale_settles_change_nothing_but_their_count(
    config: BreakerConfig, steps: list[Step], late: Step
) -> None:
    run = Run(config, steps)
    generation = run.breaker.snapshot(run.now).generation
    before = pickle.dumps(run.breaker)
    stale = [permit for permit in run.running if permit.generation != generation and not permit.lapsed]
    for permit in stale:
        assert not settle(run.breaker, permit, late, run.now)
    run.breaker._stale -= len(stale)
    assert pickle.dumps(run.breaker) == before


NEUTRAL = Step(0.0, 0, N, slow=False, opens=True, retry_after=None, throttle=False)


@given(config=CONFIG, steps=STEPS, places=st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_neutral_ends_commute_with_everything(
    config: BreakerConfig, steps: list[Step], places: list[int]
) -> None:
    """Of calls that run side by side some end neutral: where those stand in the order does not matter."""
    mixed = list(steps)
    for place in places:
        mixed.insert(place, NEUTRAL)
    assert side_by_side(config, mixed) == side_by_side(config, steps + [NEUTRAL] * len(places))


def side_by_side(config: BreakerConfig, ends: list[Step]) -> tuple[list[Transition], dict[str, object]]:
    breaker, now = CircuitBreaker(config, random=middle), 0.0
    permits = [breaker.admit(now) for _ in ends]
    for permit, step in zip(permits, ends, strict=True):
        assert isinstance(permit, Permit)
        now += step.wait
        settle(breaker, permit, step, now)
    shown = asdict(breaker.snapshot(now))
    # A neutral end that comes after a trip is counted as stale: the sum stays.
    shown["neutral"] += shown.pop("stale")
    return breaker.drain_events(), shown


def trips_at(config: BreakerConfig, steps: list[Step]) -> float:
    breaker, now = CircuitBreaker(config, random=middle), 0.0
    for count, step in enumerate(steps):
        now += step.wait
        permit = breaker.admit(now)
        assert isinstance(permit, Permit)
        if settle(breaker, permit, replace(step, throttle=False, opens=False), now):
            return count
    return float("inf")


@given(config=CONFIG, steps=STEPS, data=st.data())
def test_a_success_turned_into_a_failure_never_trips_later(
    config: BreakerConfig, steps: list[Step], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(steps) - 1))
    before = [*steps[:index], replace(steps[index], outcome=S), *steps[index + 1 :]]
    after = [*steps[:index], replace(steps[index], outcome=F), *steps[index + 1 :]]
    assert trips_at(config, after) <= trips_at(config, before)


@given(config=CONFIG, draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=9, max_size=9))
def test_open_ends_within_the_cap_and_its_spread(config: BreakerConfig, draws: list[float]) -> None:
    numbers = iter(draws)
    breaker, now = CircuitBreaker(config, random=lambda: next(numbers)), 0.0
    for _ in range(8):
        permit = breaker.admit(now)
        assert isinstance(permit, Permit)
        assert breaker.settle(permit, F, now, opens=True)
        left = breaker.snapshot(now).open_until_s
        assert config.open_base * (1 - config.jitter) - 1e-9 <= left or config.open_base > config.open_cap
        assert left <= config.open_cap * (1 + config.jitter)
        now += config.open_cap * (1 + config.jitter)


@given(config=CONFIG, steps=STEPS)
def test_books_balance(config: BreakerConfig, steps: list[Step]) -> None:
    run = Run(config, steps)
    shown = run.shown[-1]
    assert shown.in_flight == sum(not permit.lapsed for permit in run.running)
    assert shown.admitted == shown.success + shown.failure + shown.neutral + shown.stale + shown.in_flight
    for before, after in zip(run.shown, run.shown[1:], strict=False):
        assert after.generation >= before.generation


def test_memory_does_not_grow_with_the_number_of_calls() -> None:
    for window_calls in (0, 50):
        config = BreakerConfig(window_calls=window_calls, consecutive=0, failure_rate=1.0)
        breaker, sizes = CircuitBreaker(config, random=middle), []
        for call in range(20_000):
            permit = breaker.admit(call / 16)
            if isinstance(permit, Permit) and call % 7:  # one in seven is lost
                breaker.settle(permit, F if call % 3 else S, call / 16)
            if call in {1000, 19_999}:
                sizes.append(len(pickle.dumps(breaker)))
        assert breaker.snapshot(20_000 / 16).calls > 40
        assert sizes[1] < sizes[0] + 100  # numbers with more digits
