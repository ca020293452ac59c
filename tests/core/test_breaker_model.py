"""The breaker against a naive model that keeps every call and every transition for ever and recounts them
at each question. All numbers are multiples of 1/16, so both sides reckon exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import cycle, takewhile
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from trio_gateway.core.breaker import (
    CircuitBreaker,
    Outcome,
    Permit,
    Reason,
    Refusal,
    Snapshot,
    State,
    Transition,
)
from trio_gateway.core.config import BreakerConfig

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

S, F, N = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
FORCED = {"": None, "open": State.FORCED_OPEN, "closed": State.FORCED_CLOSED}
LEGAL = {
    *((State.CLOSED, new) for new in (State.OPEN, State.FORCED_OPEN, State.FORCED_CLOSED)),
    *((State.OPEN, new) for new in State if new is not State.OPEN),
    *((State.HALF_OPEN, new) for new in State if new is not State.HALF_OPEN),
    *((State.FORCED_OPEN, new) for new in (State.CLOSED, State.FORCED_CLOSED)),
    *((State.FORCED_CLOSED, new) for new in (State.CLOSED, State.FORCED_OPEN)),
}
BY_HAND = {Reason.RESET, Reason.RELEASE}


@dataclass
class Call:
    generation: int
    probe: bool
    deadline: float
    end: Outcome | str = "running"
    slow: bool = False
    at: float = 0.0


@dataclass
class Model:
    config: BreakerConfig
    born: float
    draws: list[float]
    initial: State
    calls: list[Call] = field(default_factory=list)
    ended: list[Call] = field(default_factory=list)
    moves: list[Transition] = field(default_factory=list)
    gate: float = -math.inf
    open_until: float = 0.0
    window_from: tuple[int, float] = (0, 0.0)  # index in ended, instant
    last_error: str | None = None

    def __post_init__(self) -> None:
        self.window_from = (0, self.born)

    @property
    def state(self) -> State:
        return self.moves[-1].new if self.moves else self.initial

    @property
    def generation(self) -> int:
        return len(self.moves)

    @property
    def probes(self) -> list[Call]:
        return [c for c in self.calls if c.probe and c.end == "running" and c.generation == self.generation]

    def seen(self, now: float) -> list[Call]:
        index, epoch = self.window_from
        calls = [c for c in self.ended[index:] if c.generation == self.generation]
        calls = [c for c in calls if c.end in (S, F) or (c.end == N and c.slow)]
        if self.config.window_calls:
            return calls[-self.config.window_calls :]
        width = self.config.window / 10
        present = math.floor((now - epoch) / width)
        return [c for c in calls if math.floor((c.at - epoch) / width) > present - 10]

    def move(self, new: State, at: float, reason: Reason, wait: float = 0.0) -> None:
        if new is self.state:
            return
        if new is State.OPEN:
            row = takewhile(lambda m: m.new in (State.OPEN, State.HALF_OPEN), reversed(self.moves))
            again = sum(m.new is State.OPEN for m in row)
            opened = sum(m.new is State.OPEN for m in self.moves)
            spread = 2 * self.draws[opened % len(self.draws)] - 1
            span = min(self.config.open_cap, self.config.open_base * 2**again)
            self.open_until = at + max(span * (1 + self.config.jitter * spread), wait)
        self.moves.append(Transition(self.state, new, self.generation + 1, at, reason))
        self.window_from = (len(self.ended), at)

    def finish(self, call: Call, end: Outcome | str, at: float, *, slow: bool = False) -> None:
        call.end, call.at, call.slow = end, at, slow
        self.ended.append(call)

    def expire(self, now: float) -> bool:
        if self.state is not State.HALF_OPEN:
            return False
        limit = self.moves[-1].at + self.config.max_half_open
        at = min([limit, *(c.deadline for c in self.probes)])
        if now < at:
            return False
        late = [c for c in self.probes if c.deadline == at]
        for call in late:
            self.finish(call, F, at)
            self.last_error = "first_event_timeout"
        self.move(State.OPEN, at, Reason.PROBE_TIMEOUT if late else Reason.HALF_OPEN_OVER)
        return True

    def admit(self, now: float) -> Call | Refusal:
        self.expire(now)
        if now < self.gate:
            return Refusal(self.gate - now, throttled=True)
        if self.state is State.FORCED_OPEN:
            return Refusal(self.config.open_cap)
        if self.state is State.OPEN and now < self.open_until:
            return Refusal(self.open_until - now)
        if self.state is State.OPEN:
            self.move(State.HALF_OPEN, now, Reason.OPEN_OVER)
        if self.state is State.HALF_OPEN and len(self.probes) == self.config.probes:
            return Refusal(min(c.deadline for c in self.probes) - now)
        return self.issue(now, probe=self.state is State.HALF_OPEN)

    def issue(self, now: float, *, probe: bool) -> Call:
        deadline = math.inf
        if probe:
            deadline = min(now + self.config.probe_timeout, self.moves[-1].at + self.config.max_half_open)
        self.calls.append(Call(self.generation, probe, deadline))
        return self.calls[-1]

    def settle(self, call: Call, outcome: Outcome, now: float, how: How) -> bool:
        opened = self.expire(now)
        if call.end != "running":
            return opened
        stale = call.generation != self.generation
        self.finish(call, "stale" if stale else outcome, now, slow=how.slow)
        if stale:
            return opened
        if outcome is F:
            self.last_error = how.error_class or self.last_error
        wait = min(how.retry_after or 0.0, 120.0)
        if how.throttle:
            self.gate = max(self.gate, now + wait)
        reason = self.verdict(call, now, opens=how.opens)
        if reason is not None:
            closes = reason is Reason.PROBES_PASSED
            self.move(State.CLOSED if closes else State.OPEN, now, reason, wait)
        return reason is not None and self.state is State.OPEN

    def verdict(self, call: Call, now: float, *, opens: bool) -> Reason | None:
        if (call.end == N and not call.slow) or self.state is State.FORCED_CLOSED:
            return None
        if call.end == F and opens:
            return Reason.AT_ONCE
        here = [c for c in self.ended if c.generation == self.generation and c.end in (S, F)]
        if self.state is State.HALF_OPEN:
            passed = sum(c.probe and c.end == S for c in here)
            if call.end == F:
                return Reason.PROBE_FAILED
            return Reason.PROBES_PASSED if passed == self.config.probes else None
        streak = len(list(takewhile(lambda c: c.end == F, reversed(here))))
        if self.config.consecutive and streak >= self.config.consecutive:
            return Reason.CONSECUTIVE
        seen = self.seen(now)
        if len(seen) < self.config.min_calls:
            return None
        if sum(c.end == F for c in seen) / len(seen) >= self.config.failure_rate:
            return Reason.FAILURE_RATE
        return Reason.SLOW_RATE if sum(c.slow for c in seen) / len(seen) >= self.config.slow_rate else None

    def confirm(self, call: Call, now: float) -> Call:
        self.expire(now)
        if not call.probe or call.end != "running" or call.generation != self.generation:
            return call
        self.settle(call, S, now, How())
        return self.issue(now, probe=False)

    def configure(self, config: BreakerConfig, now: float) -> None:
        self.expire(now)
        if (config.window, config.window_calls) != (self.config.window, self.config.window_calls):
            self.window_from = (len(self.ended), now)
        self.config = config
        forced = FORCED[config.force]
        if forced is not None:
            self.move(forced, now, Reason.FORCE_OPEN if config.force == "open" else Reason.FORCE_CLOSED)
        elif self.state in FORCED.values():
            self.move(State.CLOSED, now, Reason.RELEASE)

    def reset(self, now: float) -> None:
        self.expire(now)
        self.move(State.CLOSED, now, Reason.RESET)

    def snapshot(self, now: float) -> Snapshot:
        seen = self.seen(now)
        count = {end: sum(c.end == end for c in self.calls) for end in (S, F, N, "stale", "running")}
        return Snapshot(
            state=self.state,
            generation=self.generation,
            failure_rate=sum(c.end == F for c in seen) / max(1, len(seen)),
            slow_rate=sum(c.slow for c in seen) / max(1, len(seen)),
            calls=len(seen),
            open_until_s=max(0.0, self.open_until - now) if self.state is State.OPEN else 0.0,
            probes_in_flight=len(self.probes),
            in_flight=count["running"],
            opened_total=sum(m.new is State.OPEN for m in self.moves),
            last_error_class=self.last_error,
            admitted=len(self.calls),
            success=count[S],
            failure=count[F],
            neutral=count[N],
            stale=count["stale"],
        )


@dataclass
class How:
    slow: bool = False
    opens: bool = False
    throttle: bool = False
    retry_after: float | None = None
    error_class: str | None = None


HOW = st.builds(
    How,
    slow=st.booleans(),
    opens=st.sampled_from([False, False, False, True]),
    throttle=st.sampled_from([False, False, True]),
    retry_after=st.sampled_from([None, None, 1.0, 9.0, 500.0]),
    error_class=st.sampled_from([None, "truncated", "upstream_error"]),
)
CHANGEABLE = {
    "window": st.sampled_from([20.0, 20.0, 5.0]),
    "window_calls": st.sampled_from([0, 0, 4, 7]),
    "min_calls": st.integers(1, 4),
    "failure_rate": st.sampled_from([0.25, 0.5, 1.0]),
    "consecutive": st.integers(0, 4),
    "slow_rate": st.sampled_from([0.5, 0.75, 1.0]),
    "probe_timeout": st.sampled_from([2.0, 8.0]),
}
CONFIG = st.builds(
    BreakerConfig,
    open_base=st.sampled_from([1.0, 4.0]),
    open_cap=st.sampled_from([4.0, 16.0]),
    jitter=st.sampled_from([0.0, 0.25]),
    probes=st.integers(1, 3),
    max_half_open=st.sampled_from([4.0, 16.0]),
    force=st.sampled_from(["", "", "", "open", "closed"]),
    **CHANGEABLE,
)


class BreakerMachine(RuleBasedStateMachine):
    breaker: CircuitBreaker
    model: Model
    now: float

    @initialize(
        config=CONFIG,
        now=st.sampled_from([-1000.0, 0.0, 2.0**20]),
        draws=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=1, max_size=5),
    )
    def begin(self, config: BreakerConfig, now: float, draws: list[float]) -> None:
        self.now = now
        self.breaker = CircuitBreaker(config, now=now, random=cycle(draws).__next__)
        self.model = Model(config, now, draws, FORCED[config.force] or State.CLOSED)
        self.pairs: list[tuple[Permit, Call]] = []
        self.told: list[Transition] = []

    @rule(seconds=st.sampled_from([0.125, 1.0, 2.0, 7.5, 40.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(short=st.sampled_from([0.0, 0.0625]))
    def wait_for_what_is_due(self, short: float) -> None:
        """To the very instant of the next deadline, or just before it."""
        due = [self.model.gate, self.model.open_until, *(c.deadline for c in self.model.probes)]
        if self.model.state is State.HALF_OPEN:
            due.append(self.model.moves[-1].at + self.model.config.max_half_open)
        self.now = min((at - short for at in due if at - short > self.now), default=self.now)

    @rule()
    def admit(self) -> None:
        self.is_admitted()

    def is_admitted(self) -> bool:
        possible = self.breaker.can_admit(self.now)
        permit, call = self.breaker.admit(self.now), self.model.admit(self.now)
        assert isinstance(permit, Permit) is possible
        if not isinstance(call, Call):
            assert permit == call
            return False
        assert isinstance(permit, Permit)
        self.keep(permit, call)
        return True

    def keep(self, permit: Permit, call: Call) -> None:
        assert (permit.generation, permit.probe) == (call.generation, call.probe)
        assert permit.deadline == call.deadline
        assert self.breaker.probe_deadline(permit) == (call.deadline if call.probe else None)
        self.pairs.append((permit, call))

    @rule(data=st.data(), outcome=st.sampled_from(Outcome), how=HOW, times=st.integers(1, 2))
    def settle(self, data: DataObject, outcome: Outcome, how: How, times: int) -> None:
        if not self.pairs:
            return
        permit, call = data.draw(st.sampled_from(self.pairs))
        for _ in range(times):
            self.end(permit, call, outcome, how)

    @rule(outcomes=st.lists(st.sampled_from(Outcome), min_size=1, max_size=4), how=HOW)
    def burst(self, outcomes: list[Outcome], how: How) -> None:
        """Calls that overlap: all are admitted before the first one ends."""
        admitted = [(outcome, self.pairs[-1]) for outcome in outcomes if self.is_admitted()]
        for outcome, pair in admitted:
            self.end(*pair, outcome, how)

    def end(self, permit: Permit, call: Call, outcome: Outcome, how: How) -> None:
        opened = self.breaker.settle(
            permit,
            outcome,
            self.now,
            slow=how.slow,
            opens=how.opens,
            retry_after=how.retry_after,
            throttle=how.throttle,
            error_class=how.error_class,
        )
        assert opened is self.model.settle(call, outcome, self.now, how)

    @rule(data=st.data())
    def confirm(self, data: DataObject) -> None:
        if not self.pairs:
            return
        permit, call = data.draw(st.sampled_from(self.pairs))
        rest, rest_call = self.breaker.confirm(permit, self.now), self.model.confirm(call, self.now)
        assert (rest is permit) is (rest_call is call)
        if rest is not permit:
            self.keep(rest, rest_call)

    @rule()
    def reset(self) -> None:
        self.breaker.reset(self.now)
        self.model.reset(self.now)

    @rule(
        changes=st.fixed_dictionaries({}, optional=CHANGEABLE),
        force=st.sampled_from(["", "", "", "open", "closed"]),
    )
    def reload(self, changes: dict[str, object], force: str) -> None:
        config = replace(self.model.config, force=force, **changes)
        self.breaker.configure(config, self.now)
        self.model.configure(config, self.now)

    @invariant()
    def shows_what_a_recount_shows(self) -> None:
        assert self.breaker.snapshot(self.now) == self.model.snapshot(self.now)
        later = self.now + 13
        assert self.breaker.snapshot(later) == self.model.snapshot(later)

    @invariant()
    def tells_each_legal_transition_once(self) -> None:
        self.told += self.breaker.drain_events()
        assert self.told == self.model.moves
        assert [event.generation for event in self.told] == list(range(1, len(self.told) + 1))
        for event in self.told:
            assert (event.old, event.new) in LEGAL
            if event.reason in BY_HAND:
                assert event.new is State.CLOSED

    @invariant()
    def half_open_keeps_within_its_limits(self) -> None:
        limit = self.model.config.max_half_open
        assert self.breaker.snapshot(self.now).probes_in_flight <= self.model.config.probes
        for event, after in zip(self.told, self.told[1:], strict=False):
            assert event.new is not State.HALF_OPEN or after.at - event.at <= limit

    @invariant()
    def no_state_lasts_for_ever(self) -> None:
        """Whatever was lost or left unsettled: after the longest waits a request passes."""
        config = self.model.config
        longest = config.max_half_open + max(120.0, config.open_cap * (1 + config.jitter))
        if self.model.state is not State.FORCED_OPEN:
            assert self.breaker.can_admit(self.now + longest)


TestBreakerMachine = BreakerMachine.TestCase
