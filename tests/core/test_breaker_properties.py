"""What holds for every history of calls, whatever the configuration."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.core.breaking import FAILED, LIMITED, LOST, NO_KEY
from trio_gateway.core.breaker import (
    NEUTRAL,
    SUCCESS,
    CallIdentity,
    CircuitBreaker,
    Permit,
    Snapshot,
    Transition,
    Verdict,
)
from trio_gateway.core.breaker.known_bodies import MAX_BODIES
from trio_gateway.core.breaker.tally import MAX_SOURCES
from trio_gateway.core.config import BreakerConfig


@dataclass(frozen=True)
class Step:
    """Time passes, a call is asked for, and one of those that run (the index is taken modulo) ends."""

    wait: float
    ends: int
    identity: CallIdentity
    verdict: Verdict
    slow: bool = False


IDENTITY = st.builds(
    CallIdentity,
    model=st.sampled_from("xxy"),
    client=st.sampled_from("aab"),
    digest=st.sampled_from([b"", b"", b"1"]),
)
STEP = st.builds(
    Step,
    wait=st.sampled_from([0.0, 0.0, 0.5, 2.0, 9.0, 31.0]),
    ends=st.integers(0, 50),
    identity=IDENTITY,
    verdict=st.sampled_from([SUCCESS, SUCCESS, NEUTRAL, FAILED, FAILED, LOST, LIMITED, NO_KEY]),
    slow=st.booleans(),
)
STEPS = st.lists(STEP, min_size=1, max_size=30)
CONFIG = st.builds(
    BreakerConfig,
    window=st.just(20.0),
    window_calls=st.sampled_from([0, 5]),
    min_calls=st.integers(1, 4),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    consecutive=st.integers(0, 4),
    slow_after=st.just(1.0),
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
        answer = self.breaker.admit(self.now, step.identity)
        if isinstance(answer, Permit):
            self.running.append(answer)
        if self.running and step.ends % 3:  # now and then a call goes on
            permit = self.running.pop(step.ends % len(self.running))
            if step.verdict is SUCCESS:
                rest = self.breaker.confirm(permit, self.now)
                if rest is not permit:
                    self.running.append(rest)
            for _ in range(times):
                self.breaker.settle(permit, step.verdict, self.now)


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
    stale = [permit for permit in run.running if permit.generation != generation and not permit.lapsed]
    running = run.breaker._judge._running._calls.copy()
    before = pickle.dumps(run.breaker)
    for permit in stale:
        assert not run.breaker.settle(permit, late.verdict, run.now)
    run.breaker._books.stale -= len(stale)
    run.breaker._judge._running._calls = running  # these calls are over, which their clients' others may feel
    assert pickle.dumps(run.breaker) == before


@given(config=CONFIG, steps=STEPS, places=st.lists(st.integers(0, 30), min_size=1, max_size=5))
def test_neutral_ends_commute_with_everything(
    config: BreakerConfig, steps: list[Step], places: list[int]
) -> None:
    """Of calls that run side by side some end neutral: where those stand in the order does not matter."""
    neutral = Step(0.0, 0, CallIdentity("z", "c"), NEUTRAL)
    mixed = list(steps)
    for place in places:
        mixed.insert(place, neutral)
    assert side_by_side(config, mixed) == side_by_side(config, steps + [neutral] * len(places))


def side_by_side(config: BreakerConfig, ends: list[Step]) -> tuple[list[Transition], dict[str, object]]:
    # Nothing is slow: a call that its client left after ``slow_after`` counts, and is not neutral.
    breaker = CircuitBreaker(structs.replace(config, slow_after=1e6), random=middle)
    permits = [breaker.admit(0.0, step.identity) for step in ends]
    company = breaker.admit(0.0, CallIdentity("z", "c"))  # to the end: neutral ends do not take it away
    assert isinstance(company, Permit)
    now = 0.0
    for permit, step in zip(permits, ends, strict=True):
        assert isinstance(permit, Permit)
        now += step.wait
        breaker.settle(permit, step.verdict, now)
    shown = asdict(breaker.snapshot(now))
    # A neutral end that comes after a trip is counted as stale: the sum stays.
    shown["neutral"] += shown.pop("stale")
    return breaker.drain_events(), shown


def trips_at(config: BreakerConfig, steps: list[Step]) -> float:
    """The step at which a breaker opens, when all ask for one model, and each with a body of its own."""
    breaker, now = CircuitBreaker(config, random=middle), 0.0
    for count, step in enumerate(steps):
        now += step.wait
        permit = breaker.admit(now, CallIdentity("x", step.identity.client))
        assert isinstance(permit, Permit)
        now += 2.0 * step.slow
        if step.verdict is not NEUTRAL:
            breaker.confirm(permit, now)
        if breaker.settle(permit, step.verdict, now):
            return count
    return float("inf")


@given(config=CONFIG, steps=STEPS, data=st.data())
def test_a_success_turned_into_a_failure_never_trips_later(
    config: BreakerConfig, steps: list[Step], data: st.DataObject
) -> None:
    steps = [step for step in steps if step.verdict.pauses is None] or [replace(steps[0], verdict=SUCCESS)]
    index = data.draw(st.integers(0, len(steps) - 1))
    worse = data.draw(st.sampled_from([FAILED, LOST]))
    before = [*steps[:index], replace(steps[index], verdict=SUCCESS), *steps[index + 1 :]]
    after = [*steps[:index], replace(steps[index], verdict=worse), *steps[index + 1 :]]
    assert trips_at(config, after) <= trips_at(config, before)


@given(config=CONFIG, draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=9, max_size=9))
def test_open_ends_within_the_cap_and_its_spread(config: BreakerConfig, draws: list[float]) -> None:
    numbers = iter(draws)
    breaker, now = CircuitBreaker(config, random=lambda: next(numbers, 0.5)), 0.0
    for model in "xy":
        opened = breaker.admit(now, CallIdentity(model))
        assert isinstance(opened, Permit)
        breaker.settle(opened, NO_KEY, now)
    for _ in range(7):
        left = breaker.snapshot(now).open_until_s
        assert config.open_base * (1 - config.jitter) - 1e-9 <= left or config.open_base > config.open_cap
        assert left <= config.open_cap * (1 + config.jitter)
        now += config.open_cap * (1 + config.jitter)
        probe = breaker.admit(now, CallIdentity("z"))
        assert isinstance(probe, Permit)
        assert breaker.settle(probe, FAILED, now)


@given(config=CONFIG, steps=STEPS)
def test_books_balance(config: BreakerConfig, steps: list[Step]) -> None:
    run = Run(config, steps)
    shown = run.shown[-1]
    assert shown.in_flight == sum(not permit.lapsed for permit in run.running)
    assert shown.admitted == shown.success + shown.failure + shown.neutral + shown.stale + shown.in_flight
    for before, after in zip(run.shown, run.shown[1:], strict=False):
        assert after.generation >= before.generation


def test_memory_does_not_grow_with_the_number_of_calls() -> None:
    """Of as many clients, models and bodies as there are calls: all are kept for the window, up to a number."""
    verdicts = (FAILED, SUCCESS, NEUTRAL, LIMITED, SUCCESS, LOST, SUCCESS)
    for window_calls in (0, 50):
        config = BreakerConfig(window_calls=window_calls, consecutive=0, failure_rate=1.0, slow_after=1e6)
        breaker, sizes = CircuitBreaker(config, random=middle), []
        for number in range(20_000):
            identity = CallIdentity(f"model {number % 3000}", f"client {number % 5000}", b"%d" % number)
            permit = breaker.admit(number / 16, identity)
            if isinstance(permit, Permit):
                breaker.settle(permit, verdicts[number % 7], number / 16)
            if number in {12_000, 19_999}:
                sizes.append(len(pickle.dumps(breaker)))
        assert breaker.snapshot(20_000 / 16).calls > 40
        assert sizes[1] < 1.05 * sizes[0]
        assert sizes[1] < 400 * (MAX_BODIES + MAX_SOURCES)
