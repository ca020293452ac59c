"""A naive model of the breaker: it keeps every call and every transition, and recounts them at each question.

All numbers are multiples of 1/16, so both sides reckon exactly. Clients and models are few, so none are counted
together.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from trio_gateway.core.breaker import (
    CallIdentity,
    Outcome,
    PauseCause,
    Reason,
    Refusal,
    Snapshot,
    State,
    Transition,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_gateway.core.config import BreakerConfig

__all__ = ["FORCED", "Call", "Model"]

S, F, N = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL
FORCED = {"": None, "open": State.FORCED_OPEN, "closed": State.FORCED_CLOSED}
FINAL = {Reason.AT_ONCE, Reason.PROBE_FAILED, Reason.CONSECUTIVE, Reason.FAILURE_RATE, Reason.SLOW_RATE}


@dataclass
class Call:
    identity: CallIdentity
    generation: int
    probe: bool
    deadline: float
    began: float
    event: float | None = None
    end: Outcome | str = "running"
    given_back: bool = False


@dataclass
class Ended:
    """A call that counted, in its slot of the window."""

    slot: int
    failed: bool
    slow: bool
    client: str | None = None
    model: str | None = None


@dataclass
class Paused:
    cause: PauseCause
    since: float
    until: float
    client: str
    row: int = 0
    trial: Call | None = None
    trial_until: float = 0.0


@dataclass
class Generation:
    """What was seen since the last change of state, or of the window's shape."""

    epoch: float
    added: int = 0
    ended: list[Ended] = field(default_factory=list)
    known: list[tuple[str, bytes, bool, int]] = field(default_factory=list)
    contacts: list[tuple[str, int]] = field(default_factory=list)
    good: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Model:
    config: BreakerConfig
    born: float
    spread: float
    initial: State
    calls: list[Call] = field(default_factory=list)
    moves: list[Transition] = field(default_factory=list)
    streak: list[Ended] = field(default_factory=list)
    pauses: dict[tuple[str, bytes], Paused] = field(default_factory=dict)
    begun: list[tuple[str, PauseCause, float]] = field(default_factory=list)
    open_until: float = 0.0
    last_error: str | None = None
    last_event: float = -math.inf

    def __post_init__(self) -> None:
        self.here = Generation(self.born)

    @property
    def state(self) -> State:
        return self.moves[-1].new if self.moves else self.initial

    @property
    def generation(self) -> int:
        return len(self.moves)

    @property
    def probes(self) -> list[Call]:
        return [c for c in self.calls if c.probe and c.end == "running" and c.generation == self.generation]

    # The window

    def slot(self, now: float) -> int:
        if self.config.window_calls:
            return self.here.added
        return math.floor((now - self.here.epoch) / (self.config.window / 10))

    def oldest(self, now: float) -> int:
        size = self.config.window_calls
        return self.here.added - size if size else self.slot(now) - 9

    def seen(self, now: float) -> list[Ended]:
        return [each for each in self.here.ended if each.slot >= self.oldest(now)]

    def has_company(self, client: str, now: float) -> bool:
        contacts = [each for each, slot in self.here.contacts if slot >= self.oldest(now)]
        running = [call.identity.client for call in self.calls if not call.given_back]
        return any(each != client for each in [*contacts, *running])

    def contact(self, client: str, now: float) -> None:
        self.here.contacts.append((client, self.slot(now)))

    def add(self, ended: Ended) -> None:
        self.here.ended.append(ended)
        self.here.added += 1

    def is_repeat(self, call: CallIdentity, now: float, *, failed: bool) -> bool:
        mine = (call.client, call.digest, failed)
        if not call.digest:
            return False
        if any(each[:3] == mine and each[3] >= self.oldest(now) for each in self.here.known):
            return True
        self.here.known.append((*mine, self.slot(now)))
        return False

    # Trips

    def capped(self, bad: list[Ended], now: float) -> int:
        own = Counter(each.client for each in bad if each.client is not None)
        if not own:
            return len(bad)
        client, most = own.most_common(1)[0]
        assert client is not None
        others = len(bad) - most
        return others + min(most, others) if self.has_company(client, now) else len(bad)

    def is_streak(self, bad: list[Ended], now: float) -> bool:
        needed = self.config.consecutive
        return bool(needed) and len(bad) >= needed and self.capped(bad, now) >= needed

    def is_rate(self, bad: list[Ended], rate: float, now: float) -> bool:
        calls, least = len(self.seen(now)), self.config.min_calls
        if calls < least or len(bad) / calls < rate:
            return False
        capped = self.capped(bad, now)
        return capped / max(calls - len(bad) + capped, least) >= rate

    def trip(self, now: float, wait: float) -> Reason | None:
        seen, config = self.seen(now), self.config
        rules: list[tuple[Reason, list[Ended], Callable[[list[Ended]], bool]]] = [
            (Reason.CONSECUTIVE, self.streak, lambda bad: self.is_streak(bad, now)),
            (
                Reason.FAILURE_RATE,
                [each for each in seen if each.failed],
                lambda bad: self.is_rate(bad, config.failure_rate, now),
            ),
            (
                Reason.SLOW_RATE,
                [each for each in seen if each.slow],
                lambda bad: self.is_rate(bad, config.slow_rate, now),
            ),
        ]
        for reason, bad, is_enough in rules:
            if is_enough(bad):
                culprit = self.culprit(bad, is_enough, now)
                if culprit is None:
                    return reason
                self.streak = [each for each in self.streak if each.model != culprit]
                self.here.ended = [each for each in self.here.ended if each.model != culprit]
                self.pause_failing(culprit, now, wait)
                return None
        return None

    def culprit(self, bad: list[Ended], is_enough: Callable[[list[Ended]], bool], now: float) -> str | None:
        good = [model for model, slot in self.here.good if slot >= self.oldest(now)]
        for model in sorted({each.model for each in bad if each.model is not None}):
            own = [each for each in bad if each.model == model]
            if any(other != model for other in good) and is_enough(own):
                return model
        return None

    # Pauses

    def span(self, row: int) -> float:
        span = min(self.config.open_cap, self.config.open_base * 2.0**row)
        return span * (1 + self.config.jitter * self.spread)

    def concerning(self, call: CallIdentity) -> list[Paused]:
        keys = dict.fromkeys([(call.model, b""), (call.model, call.key)])
        return [self.pauses[key] for key in keys if key in self.pauses]

    def pause(self, key: tuple[str, bytes], pause: Paused, trial: Call | None) -> None:
        old = self.pauses.get(key)
        if old and old.until >= pause.until and (trial is None or old.trial is not trial):
            return
        self.pauses[key] = pause
        self.begun.append((key[0], pause.cause, pause.until - pause.since))

    def pause_failing(self, model: str, now: float, wait: float) -> None:
        old = self.pauses.get((model, b""))
        if old is not None and old.cause is not PauseCause.FAILING:
            old = None
        row = old.row + 1 if old else 0
        until = now + max(wait, self.span(row))
        self.pause((model, b""), Paused(PauseCause.FAILING, now, until, "", row), old.trial if old else None)

    def limit(self, call: Call, verdict: Verdict, now: float) -> None:
        cause, identity, row = verdict.pauses, call.identity, 0
        assert cause is not None
        seconds = {PauseCause.RATE: min(verdict.retry_after or 0.0, 60.0), PauseCause.QUOTA: 60.0}.get(cause)
        if seconds is None:
            old = self.pauses.get((identity.model, b""))
            if old and old.cause is PauseCause.KEY:
                if call.began <= old.since:
                    return
                row = old.row + 1
            seconds = self.span(row)
        paused = Paused(cause, now, now + seconds, identity.client, row)
        self.pause((identity.model, identity.key), paused, call)

    def refusal(self, call: CallIdentity, now: float) -> Refusal | None:
        refusals = []
        for pause in self.concerning(call):
            left = pause.until - now
            if left <= 0 and pause.trial is not None:
                left = min(1.0, pause.trial_until - now)
            if left > 0:
                refusals.append(Refusal(left, "", pause.cause, call.model))
        if self.state is State.FORCED_OPEN:
            refusals.insert(0, Refusal(self.config.open_cap))
        if self.state is State.OPEN and now < self.open_until:
            refusals.insert(0, Refusal(self.open_until - now))
        if self.state is State.HALF_OPEN and len(self.probes) >= self.config.probes:
            refusals.insert(0, Refusal(min(c.deadline for c in self.probes) - now))
        return max(refusals, key=lambda refusal: refusal.retry_after, default=None)

    # Calls

    def move(self, new: State, at: float, reason: Reason, wait: float = 0.0) -> None:
        if new is self.state:
            return
        if new is State.OPEN:
            row = takewhile(lambda m: m.new in (State.OPEN, State.HALF_OPEN), reversed(self.moves))
            self.open_until = at + max(self.span(sum(m.new is State.OPEN for m in row)), wait)
        self.moves.append(Transition(self.state, new, self.generation + 1, at, reason))
        self.here, self.streak = Generation(at), []
        for pause in self.pauses.values():
            pause.trial = None
        if new is State.FORCED_CLOSED:
            gone = (PauseCause.KEY, PauseCause.FAILING)
            self.pauses = {key: pause for key, pause in self.pauses.items() if pause.cause not in gone}

    def expire(self, now: float) -> bool:
        if self.state is not State.HALF_OPEN:
            return False
        limit = self.moves[-1].at + self.config.max_half_open
        at = min([limit, *(c.deadline for c in self.probes)])
        if now < at:
            return False
        late = [c for c in self.probes if c.deadline == at]
        for call in late:
            call.end = F
            self.last_error = "first_event_timeout"
        self.move(State.OPEN, at, Reason.PROBE_TIMEOUT if late else Reason.HALF_OPEN_OVER)
        return True

    def admit(self, identity: CallIdentity, now: float) -> Call | Refusal:
        self.expire(now)
        refusal = self.refusal(identity, now)
        if refusal is not None:
            return refusal
        if self.state is State.OPEN:
            self.move(State.HALF_OPEN, now, Reason.OPEN_OVER)
        call = self.issue(identity, now, probe=self.state is State.HALF_OPEN)
        for pause in self.concerning(identity):
            pause.trial, pause.trial_until = call, now + self.config.probe_timeout
        return call

    def issue(self, identity: CallIdentity, now: float, *, probe: bool) -> Call:
        deadline = math.inf
        if probe:
            deadline = min(now + self.config.probe_timeout, self.moves[-1].at + self.config.max_half_open)
        self.calls.append(Call(identity, self.generation, probe, deadline, now))
        self.contact(identity.client, now)
        return self.calls[-1]

    def settle(self, call: Call, verdict: Verdict, now: float) -> bool:
        opened = self.expire(now)
        call.given_back = True
        if call.end != "running":
            return opened
        stale = call.generation != self.generation
        call.end = "stale" if stale else verdict.outcome
        if stale:
            return opened
        if verdict.outcome is F or (verdict.pauses and not call.identity.key):
            self.last_error = verdict.error_class or self.last_error
        wait = min(verdict.retry_after or 0.0, 120.0)
        reason = self.judge(call, verdict, now, wait)
        for pause in self.concerning(call.identity):
            if pause.trial is call:
                pause.trial = None
        if reason is not None:
            self.move(State.OPEN if reason in FINAL else State.CLOSED, now, reason, wait)
        return reason is not None and self.state is State.OPEN

    def judge(self, call: Call, verdict: Verdict, now: float, wait: float) -> Reason | None:
        forced = self.state is State.FORCED_CLOSED
        if verdict.pauses and not (forced and verdict.pauses is PauseCause.KEY):
            self.limit(call, verdict, now)
            if verdict.pauses is PauseCause.KEY and self.is_key_refused(call, now):
                return Reason.AT_ONCE
        if not self.learn(call, verdict, now, wait) or forced:
            return None
        if self.state is State.CLOSED:
            return self.trip(now, wait)
        if verdict.outcome is F:
            return Reason.PROBE_FAILED
        here = [c for c in self.calls if c.generation == self.generation]
        passed = sum(c.probe and c.end == S for c in here)
        if call.probe and verdict.outcome is S and passed >= self.config.probes:
            return Reason.PROBES_PASSED
        return None

    def learn(self, call: Call, verdict: Verdict, now: float, wait: float) -> bool:
        identity, slow = call.identity, self.is_slow(call, verdict, now)
        self.contact(identity.client, now)
        bad = Ended(self.slot(now), verdict.outcome is F, slow, identity.client, identity.model)
        if verdict.outcome is S:
            self.lift(call)
            self.streak = []
            self.here.good.append((identity.model, self.slot(now)))
            if not slow:
                self.add(Ended(self.slot(now), failed=False, slow=False))
            elif not self.is_repeat(identity, now, failed=False):
                self.add(bad)
        elif verdict.outcome is N:
            if slow and not self.is_repeat(identity, now, failed=False):
                self.add(bad)
            return slow
        elif verdict.unanswered:
            self.streak.append(Ended(0, failed=True, slow=slow))
            self.add(Ended(self.slot(now), failed=True, slow=slow))
        elif not self.is_paused_for_it(call, now, wait) and not self.is_repeat(identity, now, failed=True):
            self.streak.append(bad)
            self.add(bad)
        return True

    def is_paused_for_it(self, call: Call, now: float, wait: float) -> bool:
        pause = self.pauses.get((call.identity.model, b""))
        if pause is None or pause.cause is not PauseCause.FAILING:
            return False
        if pause.trial is call:
            self.pause_failing(call.identity.model, now, wait)
            return True
        return call.began <= pause.since

    def is_slow(self, call: Call, verdict: Verdict, now: float) -> bool:
        if call.event is None and verdict.outcome is N and self.last_event > call.began:
            return False
        return (now if call.event is None else call.event) - call.began > self.config.slow_after

    def is_key_refused(self, call: Call, now: float) -> bool:
        for move in reversed(self.moves):
            if self.state is not State.HALF_OPEN or move.new not in (State.OPEN, State.HALF_OPEN):
                break
            if move.reason is Reason.AT_ONCE:
                return True
        company = self.has_company(call.identity.client, now)
        return any(
            pause.cause is PauseCause.KEY
            and model != call.identity.model
            and self.last_event <= pause.since
            and not (pause.client == call.identity.client and company)
            for (model, _), pause in self.pauses.items()
        )

    def refuse_list(self, now: float, *, listed_before: bool) -> None:
        self.expire(now)
        keys = [pause for pause in self.pauses.values() if pause.cause is PauseCause.KEY]
        succeeded = any(slot >= self.oldest(now) for _, slot in self.here.good)
        doubted = any(self.last_event <= pause.since for pause in keys)
        if doubted and (listed_before or not succeeded) and self.state in (State.CLOSED, State.HALF_OPEN):
            self.move(State.OPEN, now, Reason.AT_ONCE)

    def lift(self, call: Call) -> None:
        self.pauses = {key: pause for key, pause in self.pauses.items() if pause.trial is not call}

    def confirm(self, call: Call, now: float) -> Call:
        self.expire(now)
        self.last_event = now
        call.event = now if call.event is None else call.event
        if call.given_back or call.end != "running" or call.generation != self.generation:
            return call
        self.lift(call)
        if not call.probe:
            return call
        self.settle(call, Verdict(S), now)
        rest = self.issue(call.identity, now, probe=False)
        rest.began, rest.event = call.began, now
        return rest

    # By hand

    def configure(self, config: BreakerConfig, now: float) -> None:
        self.expire(now)
        if (config.window, config.window_calls) != (self.config.window, self.config.window_calls):
            self.here = Generation(now)
        self.config = config
        forced = FORCED[config.force]
        if forced is not None:
            self.move(forced, now, Reason.FORCE_OPEN if config.force == "open" else Reason.FORCE_CLOSED)
        elif self.state in FORCED.values():
            self.move(State.CLOSED, now, Reason.RELEASE)

    def reset(self, now: float) -> None:
        self.expire(now)
        self.pauses = {}
        self.move(State.CLOSED, now, Reason.RESET)

    def snapshot(self, now: float) -> Snapshot:
        seen = self.seen(now)
        count = {end: sum(c.end == end for c in self.calls) for end in (S, F, N, "stale", "running")}
        return Snapshot(
            state=self.state,
            generation=self.generation,
            failure_rate=sum(each.failed for each in seen) / max(1, len(seen)),
            slow_rate=sum(each.slow for each in seen) / max(1, len(seen)),
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
