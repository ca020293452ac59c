"""The breaker against a naive model of it, in any order of calls, ends, waits and orders by hand."""

from __future__ import annotations

from dataclasses import replace as replaced
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from tests.core.breaker_model import FORCED, Call, Model
from trio_gateway.core.breaker import (
    CallIdentity,
    CircuitBreaker,
    Outcome,
    PauseCause,
    Permit,
    Reason,
    Refusal,
    State,
    Transition,
    Verdict,
)
from trio_gateway.core.config import BreakerConfig

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

LEGAL = {
    *((State.CLOSED, new) for new in (State.OPEN, State.FORCED_OPEN, State.FORCED_CLOSED)),
    *((State.OPEN, new) for new in State if new is not State.OPEN),
    *((State.HALF_OPEN, new) for new in State if new is not State.HALF_OPEN),
    *((State.FORCED_OPEN, new) for new in (State.CLOSED, State.FORCED_CLOSED)),
    *((State.FORCED_CLOSED, new) for new in (State.CLOSED, State.FORCED_OPEN)),
}
BY_HAND = {Reason.RESET, Reason.RELEASE}

IDENTITY = st.builds(
    CallIdentity,
    model=st.sampled_from(["x", "x", "y"]),
    client=st.sampled_from(["a", "a", "b"]),
    digest=st.sampled_from([b"", b"", b"1", b"2"]),
    key=st.sampled_from([b"", b"", b"k"]),
)
WAITS = st.sampled_from([None, None, 1.0, 9.0, 500.0])
CLASSES = st.sampled_from([None, "truncated", "upstream_error"])
FAILURE = st.builds(
    Verdict, st.just(Outcome.FAILURE), st.booleans(), st.none(), WAITS, CLASSES, st.just("a cause")
)
LIMIT = st.builds(
    Verdict,
    st.just(Outcome.NEUTRAL),
    st.just(value=False),
    st.sampled_from([PauseCause.RATE, PauseCause.QUOTA, PauseCause.KEY, PauseCause.KEY]),
    WAITS,
    CLASSES,
)
VERDICT = FAILURE | FAILURE | LIMIT | st.just(Verdict(Outcome.SUCCESS)) | st.just(Verdict(Outcome.NEUTRAL))
CHANGEABLE = {
    "window": st.sampled_from([20.0, 20.0, 5.0]),
    "window_calls": st.sampled_from([0, 0, 4, 7]),
    "min_calls": st.integers(1, 4),
    "failure_rate": st.sampled_from([0.25, 0.5, 1.0]),
    "consecutive": st.integers(0, 4),
    "slow_after": st.sampled_from([1.0, 5.0]),
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
        draw=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    )
    def begin(self, config: BreakerConfig, now: float, draw: float) -> None:
        self.now = now
        self.breaker = CircuitBreaker(config, now=now, random=lambda: draw)
        self.model = Model(config, now, 2 * draw - 1, FORCED[config.force] or State.CLOSED)
        self.pairs: list[tuple[Permit, Call]] = []
        self.told: list[Transition] = []
        self.begun: list[tuple[str, PauseCause, float]] = []

    @rule(seconds=st.sampled_from([0.125, 1.0, 2.0, 7.5, 40.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(short=st.sampled_from([0.0, 0.0625]))
    def wait_for_what_is_due(self, short: float) -> None:
        """To the very instant of the next deadline, or just before it."""
        pauses = self.model.pauses.values()
        due = [self.model.open_until, *(c.deadline for c in self.model.probes)]
        due += [instant for pause in pauses for instant in (pause.until, pause.trial_until)]
        if self.model.state is State.HALF_OPEN:
            due.append(self.model.moves[-1].at + self.model.config.max_half_open)
        self.now = min((at - short for at in due if at - short > self.now), default=self.now)

    @rule(identity=IDENTITY)
    def admit(self, identity: CallIdentity) -> None:
        self.is_admitted(identity)

    def is_admitted(self, identity: CallIdentity) -> bool:
        possible = self.breaker.can_admit(self.now)
        permit, call = self.breaker.admit(self.now, identity), self.model.admit(identity, self.now)
        if isinstance(permit, Refusal):
            assert replaced(permit, why="") == call
            assert permit.why
            assert permit.pause is not None or not possible
            return False
        assert possible
        assert isinstance(call, Call)
        self.keep(permit, call)
        return True

    def keep(self, permit: Permit, call: Call) -> None:
        assert (permit.generation, permit.probe) == (call.generation, call.probe)
        assert permit.deadline == call.deadline
        self.pairs.append((permit, call))

    @rule(data=st.data(), verdict=VERDICT, times=st.integers(1, 2))
    def settle(self, data: DataObject, verdict: Verdict, times: int) -> None:
        if not self.pairs:
            return
        permit, call = data.draw(st.sampled_from(self.pairs))
        for _ in range(times):
            self.end(permit, call, verdict)

    @rule(asked=st.lists(st.tuples(IDENTITY, VERDICT), min_size=1, max_size=4))
    def burst(self, asked: list[tuple[CallIdentity, Verdict]]) -> None:
        """Calls that overlap: all are admitted before the first one ends."""
        admitted = [(self.pairs[-1], verdict) for identity, verdict in asked if self.is_admitted(identity)]
        for pair, verdict in admitted:
            self.end(*pair, verdict)

    def end(self, permit: Permit, call: Call, verdict: Verdict) -> None:
        opened = self.breaker.settle(permit, verdict, self.now)
        assert opened is self.model.settle(call, verdict, self.now)

    @rule(data=st.data())
    def confirm(self, data: DataObject) -> None:
        if not self.pairs:
            return
        permit, call = data.draw(st.sampled_from(self.pairs))
        rest, rest_call = self.breaker.confirm(permit, self.now), self.model.confirm(call, self.now)
        assert (rest is permit) is (rest_call is call)
        if rest is not permit:
            self.keep(rest, rest_call)

    @rule(listed_before=st.booleans())
    def refuse_list(self, listed_before: bool) -> None:
        self.breaker.refuse_key(self.now, listed_before=listed_before)
        self.model.refuse_list(self.now, listed_before=listed_before)

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
    def reports_each_legal_transition_once(self) -> None:
        self.told += self.breaker.drain_events()
        assert self.told == self.model.moves
        assert [event.generation for event in self.told] == list(range(1, len(self.told) + 1))
        for event in self.told:
            assert (event.old, event.new) in LEGAL
            if event.reason in BY_HAND:
                assert event.new is State.CLOSED

    @invariant()
    def reports_each_pause_once(self) -> None:
        self.begun += [(each.model, each.cause, each.seconds) for each in self.breaker.drain_pauses()]
        assert self.begun == self.model.begun

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
        for identity in (CallIdentity("x"), CallIdentity("y", key=b"k")):
            assert self.breaker._pauses.refusal(identity, self.now + longest + config.probe_timeout) is None


TestBreakerMachine = BreakerMachine.TestCase
