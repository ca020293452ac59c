"""Shared state, pure: shares of limits and openings of breakers over an arbiter in virtual time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.breaking import FAILED, call, make
from trio_gateway.core.access.allowance import Allowance, Claim
from trio_gateway.core.breaker import PauseCause, Refusal, State, Verdict
from trio_gateway.core.breaker.calls import SUCCESS, Outcome
from trio_gateway.core.config import BreakerConfig
from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.core.sharing import Arbiter, Member, Report, SharedCircuit
from trio_gateway.core.sharing.arbiter import KEEP
from trio_gateway.core.sharing.exchange_messages import (
    MAX_BUCKETS,
    MAX_CIRCUITS,
    BucketReport,
    CircuitNews,
    CircuitOpening,
    ExchangeReply,
    Grant,
    Wish,
)

if TYPE_CHECKING:
    from trio_gateway.core.breaker import Permit

ANSWERED = Verdict(Outcome.FAILURE, error_class="upstream_error", cause="status 500", answered=True)
BRIEF = BreakerConfig(consecutive=1, open_base=5.0, jitter=0.0)


class Process:
    """One gateway: its member, one client's limits and one breaker."""

    def __init__(self, name: str, config: BreakerConfig = BRIEF, **limits: int) -> None:
        self.hurried = 0
        self.member = Member(name, self._hurry)
        self.key = ClientKey(id="k", sha256=b"12345678", **limits)  # type: ignore[arg-type]
        self.allowance = Allowance(self.key, 0.0, self.member)
        self.breaker = make(config)
        self.circuit = SharedCircuit("c", self.breaker, self.member)
        self.member.add(self.circuit)

    def _hurry(self) -> None:
        self.hurried += 1

    def trade(self, arbiter: Arbiter, now: float) -> ExchangeReply:
        reply = arbiter.exchange(self.member.report(now), now)
        self.member.receive(reply, now)
        self.share()
        return reply

    def bring(self, arbiter: Arbiter, now: float, requests: int = 1) -> ExchangeReply:
        """Trade while so many requests wait that would be refused without."""
        share = self.allowance.lacking_request(Claim(), now)
        assert share is not None
        share.waiting = requests
        self.member.touch(share, at_once=True)
        reply = self.trade(arbiter, now)
        share.waiting = 0
        return reply

    def ask(self, now: float) -> bool:
        """Whether a request is let in."""
        return self.allowance.arrive(Claim(), now) is None

    def share(self) -> None:
        """What the engine does with a breaker's transitions."""
        for change in self.breaker.drain_events():
            if change.new is State.OPEN and change.reason != "shared_open" and self.breaker.is_answered:
                self.circuit.announce(self.breaker.open_until, self.breaker.why)
            elif change.old is State.HALF_OPEN:
                self.circuit.conclude(passed=change.reason == "probes_passed")
            elif change.new is State.HALF_OPEN:
                self.circuit.begin_probing()
        for pause in self.breaker.drain_pauses():
            if pause.shared:
                self.circuit.announce(pause.until, pause.why, model=pause.model, cause=pause.cause)

    def admit(self, now: float, model: str = "x") -> Permit | Refusal:
        admitted = self.breaker.admit(now, call(model=model))
        self.share()
        return admitted

    def settle(self, permit: Permit | Refusal, verdict: Verdict, now: float) -> None:
        assert not isinstance(permit, Refusal)
        self.breaker.settle(permit, verdict, now)
        self.share()

    def state(self, now: float = 0.0) -> State:
        return self.breaker.snapshot(now).state


def pair(**limits: int) -> tuple[Arbiter, Process, Process]:
    """Two processes that have joined one arbiter."""
    arbiter, one, other = Arbiter("e"), Process("a", BRIEF, **limits), Process("b", BRIEF, **limits)
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 0.0)
    return arbiter, one, other


# Limits.


def test_alone_a_process_counts_by_its_own_bucket() -> None:
    process = Process("a", rpm=3)
    assert [process.ask(0.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0, 3)), max_size=120))
def test_all_together_exceed_a_limit_by_one_request_a_process(
    steps: list[tuple[str, bool, float]],
) -> None:
    arbiter, *processes = pair(rpm=20)
    now, let_in = 0.0, 0
    for name, trades, pause in steps:
        process = processes["ab".index(name)]
        if trades:
            now += pause
            process.trade(arbiter, now)
        let_in += sum(process.ask(now) for _ in range(4))
        assert let_in <= 20 + now * 20 / 60 + 2 + 1e-6


@pytest.mark.parametrize("seed", range(60))
def test_nor_do_they_exceed_it_by_more_where_exchanges_are_late(seed: int) -> None:
    """The own bucket has won back some of what was spent until it is reported: half a unit is still gone."""
    chance = random.Random(seed)
    arbiter, *processes = pair(rpm=50)
    now, let_in, traded = 0.0, 0, dict.fromkeys(processes, 0.0)
    for _ in range(60):
        now += chance.choice((0.0, 0.05, 0.2, 0.59))
        for process in processes:
            if now - traded[process] > 0.5 or chance.random() < 0.5:
                process.trade(arbiter, now)
                traded[process] = now
            let_in += sum(process.ask(now) for _ in range(chance.choice((0, 1, 4, 8))))
            assert let_in <= 50 + now * 50 / 60 + 2 + 1e-6


@pytest.mark.parametrize("seed", range(60))
def test_nor_do_they_exceed_it_by_what_they_let_in_during_an_exchange(seed: int) -> None:
    """Between a report and its reply, the level that is known still holds what the report takes."""
    chance = random.Random(seed)
    arbiter, *processes = pair(rpm=50)
    now, let_in = 0.0, 0
    replies: dict[Process, ExchangeReply | None] = {}
    for _ in range(400):
        now += chance.choice((0.0, 0.0, 0.01, 0.4))
        process = chance.choice(processes)
        let_in += sum(process.ask(now) for _ in range(chance.choice((0, 1, 4))))
        assert let_in <= 50 + now * 50 / 60 + 2 + 1e-6
        if process not in replies:  # its report is under way
            report = process.member.report(now)
            replies[process] = arbiter.exchange(report, now) if chance.random() < 0.9 else None
        elif (reply := replies.pop(process)) is not None:
            process.member.receive(reply, now)
        else:
            process.member.restore()


@pytest.mark.parametrize("seed", range(8))
def test_a_high_limit_is_exceeded_by_a_seconds_refill_at_the_most(seed: int) -> None:
    """What a process holds while the bucket is full is won back."""
    chance = random.Random(seed)
    arbiter, *processes = pair(rpm=12_000)
    now, level, due = 0.0, 12_000.0, dict.fromkeys(processes, 0.0)

    def trade(process: Process) -> None:
        process.hurried = 0
        process.trade(arbiter, now)
        due[process] = now + 0.5

    for _ in range(800):
        pause = 3.0 if chance.random() < 0.01 else chance.choice((0.0, 0.01, 0.1, 0.25))
        now += pause
        level = min(12_000.0, level + pause * 200)
        for process in processes:
            if now >= due[process] or process.hurried:
                trade(process)
        process = chance.choice(processes)
        for _ in range(chance.choice((0, 1, 5, 40, 200))):
            level -= process.ask(now)
            if process.hurried and chance.random() < 0.5:
                trade(process)
        assert level >= -200 - 2


@given(st.lists(st.sampled_from("ab"), min_size=80, max_size=80))
def test_what_one_process_does_not_use_the_other_gets_by_the_next_exchange(order: list[str]) -> None:
    arbiter, *processes = pair(rpm=30)
    let_in = 0
    for name in order:
        process = processes["ab".index(name)]
        let_in += process.ask(0.0)
        process.trade(arbiter, 0.0)
    for process in processes * 3:  # two that give back, one that takes
        process.trade(arbiter, 0.0)
        let_in += process.ask(0.0)
    assert 30 <= let_in <= 32


def test_a_request_waits_only_for_what_an_exchange_may_bring() -> None:
    arbiter, one, other = pair(rpm=2)
    limits = one.allowance
    assert limits.lacking_request(Claim(), 0.0) is None  # it may go before its share is there
    assert one.ask(0.0)
    one.bring(arbiter, 0.0)
    assert one.ask(0.0)
    one.trade(arbiter, 0.0)
    assert limits.lacking_request(Claim(), 0.0) is None  # nothing is left for anybody
    error = limits.arrive(Claim(), 0.0)
    assert error is not None
    assert error.retry_after == pytest.approx(30.0)
    assert other.ask(0.0)  # as it knows no better yet
    other.trade(arbiter, 0.0)
    assert not other.ask(0.0)
    assert other.allowance.headers(0.0)["x-ratelimit-remaining-requests"] == "0"


def test_a_request_that_is_short_for_an_exchange_may_come_again_after_one() -> None:
    _, one, _ = pair(rpm=10)
    assert one.ask(0.0)
    error = one.allowance.arrive(Claim(), 0.0)
    assert error is not None
    assert error.retry_after == 1.0


def test_nothing_waits_that_is_no_new_request_or_has_no_limit() -> None:
    _, one, _ = pair(concurrent=1)
    claim = Claim()
    assert one.allowance.lacking_request(claim, 0.0) is None
    assert one.allowance.arrive(claim, 0.0) is None
    assert one.allowance.lacking_request(claim, 0.0) is None
    assert one.allowance.lacking_tokens(claim, 9, 0.0) is None
    one.allowance.begin(claim, 9, 0.0)
    assert one.allowance.lacking_request(Claim(), 0.0) is None
    assert one.allowance.lacking_tokens(claim, 9, 0.0) is None


def test_tokens_are_shared_and_settled() -> None:
    arbiter, one, other = pair(tpm=1000)
    limits, claim = one.allowance, Claim()
    assert limits.arrive(claim, 0.0) is None
    assert limits.check(claim, 300, 0.0) is None
    limits.begin(claim, 300, 0.0)
    limits.settle(claim, 1500, 0.0)
    one.trade(arbiter, 0.0)
    other.allowance.arrive(late := Claim(), 0.0)
    other.allowance.check(late, 1, 0.0)
    other.allowance.begin(late, 1, 0.0)
    other.trade(arbiter, 0.0)
    error = other.allowance.check(again := Claim(), 100, 0.0)
    assert error is not None
    assert error.retry_after == pytest.approx((100 + 501) * 0.06)
    assert other.allowance.lacking_tokens(again, 100, 0.0) is None
    waits, lacking = Claim(), one.allowance
    lacking.arrive(waits, 60.0)
    assert lacking.lacking_tokens(waits, 2000, 60.0) is None


def test_without_an_exchange_the_own_bucket_counts_and_is_reported_afterwards() -> None:
    arbiter, one, other = pair(rpm=10)
    one.member.report(0.0)
    one.member.lose()
    assert [one.ask(0.0) for _ in range(11)] == [True] * 10 + [False]
    one.trade(arbiter, 0.0)
    other.ask(0.0)
    other.trade(arbiter, 0.0)
    assert not other.ask(0.0)
    assert not one.ask(0.0)


def test_what_was_held_before_a_process_was_alone_is_not_there_twice() -> None:
    arbiter, one, other = pair(rpm=50)
    one.member.lose()
    assert [one.ask(0.0) for _ in range(20)] == [True] * 20
    one.trade(arbiter, 0.0)  # it is granted twenty more
    one.member.lose()
    assert [one.ask(1.0) for _ in range(5)] == [True] * 5
    one.trade(arbiter, 601.0)  # the arbiter's bucket is full again
    let_in = sum(one.ask(601.0) for _ in range(20))
    for _ in range(60):
        let_in += other.ask(601.0)
        other.trade(arbiter, 601.0)
    assert 45 <= let_in <= 52


def test_an_arbiter_that_has_forgotten_learns_what_was_used() -> None:
    first, one, other = pair(rpm=10)
    for _ in range(3):
        one.ask(0.0)
        one.trade(first, 0.0)
    second = Arbiter("f")
    one.ask(0.0)
    one.trade(second, 0.0)
    other.ask(0.0)
    reply = other.trade(second, 0.0)
    assert reply.grants[0].level <= 10 - 4 - 1


def test_what_was_overdrawn_is_reported_again_after_a_failure() -> None:
    arbiter, one, _ = pair(rpm=10)
    one.ask(0.0)
    one.trade(arbiter, 0.0)
    one.ask(0.0)
    one.ask(0.0)
    first = one.member.report(0.0)
    one.member.lose()
    assert one.member.report(0.0).buckets[0].take == first.buckets[0].take


def test_a_changed_limit_owes_what_was_used() -> None:
    arbiter, one, _ = pair(rpm=10)
    one.ask(0.0)
    one.trade(arbiter, 0.0)
    one.allowance.change(ClientKey(id="k", sha256=b"12345678", rpm=5), 0.0)
    one.ask(0.0)
    reply = one.trade(arbiter, 0.0)
    assert reply.grants[0].level + reply.grants[0].share <= 4


def test_what_is_overdrawn_is_owed_though_the_own_bucket_is_full_again() -> None:
    """Each own bucket refills as fast as the one that all share: that must not let the same through twice."""
    arbiter, one, other = pair(rpm=600)
    now, let_in = 0.0, 0
    while other.ask(now):
        let_in += 1
        other.trade(arbiter, now)
    for _ in range(50):
        now += 0.1
        let_in += one.ask(now) + sum(other.ask(now) for _ in range(8))
        now += 0.1  # in which an own bucket that lacks one unit is full again
        other.trade(arbiter, now)
        one.trade(arbiter, now)
        assert let_in <= 600 + now * 10 + 2 + 1e-6


def test_what_others_gave_back_is_asked_for_before_a_request_is_refused() -> None:
    """A process that has nothing to report is not told of it."""
    arbiter, one, other = pair(rpm=10)
    other.member.lose()  # alone it lets in four at once
    assert [other.ask(0.0) for _ in range(4)] == [True] * 4
    other.trade(arbiter, 0.0)
    while one.ask(0.0):
        one.trade(arbiter, 0.0)
    other.trade(arbiter, 0.0)  # gives back the four that it was granted for as many again
    assert one.allowance.lacking_request(Claim(), 0.9) is None  # it has just been told
    one.bring(arbiter, 1.0)
    assert one.ask(1.0)


@pytest.mark.parametrize("under_way", [False, True], ids=["between exchanges", "during one"])
def test_a_lower_limit_holds_at_once_though_more_was_granted(under_way: bool) -> None:
    arbiter, one, other = pair(rpm=100)
    claims = [Claim() for _ in range(20)]
    one.member.lose()  # alone it lets in as many as it likes, and is granted as many again
    assert not any(one.allowance.arrive(claim, 0.0) for claim in claims)
    report = one.member.report(0.0)
    if not under_way:
        one.member.receive(arbiter.exchange(report, 0.0), 0.0)
    for process in (one, other):
        process.allowance.change(ClientKey(id="k", sha256=b"12345678", rpm=30), 0.0)
    if under_way:
        one.member.receive(arbiter.exchange(report, 0.0), 0.0)
    let_in = 20 + sum(one.ask(0.0) for _ in range(20))
    for _ in range(20):
        one.trade(arbiter, 0.0)
        other.trade(arbiter, 0.0)
        let_in += one.ask(0.0) + other.ask(0.0)
    assert 30 <= let_in <= 32


def test_a_higher_limit_holds_at_once_though_all_was_used() -> None:
    arbiter, one, _ = pair(tpm=1000)
    first, second = Claim(), Claim()
    one.allowance.arrive(first, 0.0)
    one.allowance.begin(first, 300, 0.0)
    one.allowance.settle(first, 6000, 0.0)
    one.trade(arbiter, 0.0)
    assert one.allowance.check(Claim(), 1, 0.0) is not None
    one.allowance.change(ClientKey(id="k", sha256=b"12345678", tpm=100_000), 0.0)
    assert one.allowance.headers(0.0)["x-ratelimit-remaining-tokens"] == "94000"
    assert one.allowance.check(second, 300, 0.0) is None


def test_as_many_again_are_fetched_beside_those_that_wait() -> None:
    """Else those that wait use up all that comes, and the next ones wait as well, however much is left."""
    arbiter, one, _ = pair(rpm=100)
    assert one.ask(0.0)
    one.bring(arbiter, 0.0, requests=2)
    hurried = one.hurried
    assert [one.ask(0.0) for _ in range(2 + 1)] == [True] * 3
    assert one.hurried == hurried
    assert one.allowance.lacking_request(Claim(), 0.0) is None


def test_what_came_in_half_a_second_is_fetched_however_short_ago_the_last_exchange_was() -> None:
    arbiter, one, _ = pair(rpm=1000)
    assert one.ask(0.0)
    one.trade(arbiter, 0.0)
    for turn in range(1, 10):
        assert [one.ask(turn * 0.02) for _ in range(2)] == [True] * 2
        one.trade(arbiter, turn * 0.02)
    hurried = one.hurried
    assert [one.ask(0.2) for _ in range(15)] == [True] * 15
    assert one.hurried == hurried
    for now in (0.7, 1.2, 1.7):  # nothing comes any more: all is given back
        level = one.trade(arbiter, now).grants[0].level
    assert level == pytest.approx(1000 - 34 + 1.7 * 1000 / 60)


def test_but_nothing_is_fetched_in_store_while_little_is_left() -> None:
    """Another process may have requests that wait for it."""
    arbiter, one, _ = pair(rpm=10)
    assert one.ask(0.0)
    assert one.bring(arbiter, 0.0, requests=6).grants[0].share == 6


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    arbiter, one, _ = pair(rpm=60)
    one.ask(0.0)
    one.trade(arbiter, 0.0)
    assert len(arbiter._buckets) == 1
    one.trade(arbiter, 1.5)
    one.trade(arbiter, 3.0)
    one.trade(arbiter, 63.0)
    assert arbiter._buckets == {}


def test_a_report_is_bounded_and_the_rest_follows() -> None:
    process = Process("a")
    keys = [ClientKey(id=f"k{n}", sha256=b"", rpm=10) for n in range(MAX_BUCKETS + 1)]
    allowances = [Allowance(key, 0.0, process.member) for key in keys]
    for allowance in allowances:
        assert allowance.arrive(Claim(), 0.0) is None
    arbiter, names = Arbiter("e"), set()
    for _ in range(2):
        report = process.member.report(0.0)
        names |= {bucket.bucket for bucket in report.buckets}
        process.member.receive(arbiter.exchange(report, 0.0), 0.0)
    assert len(names) == MAX_BUCKETS + 1


def test_a_reply_without_grants_is_a_failure_of_the_shares_alone() -> None:
    process = Process("a", rpm=10)
    process.ask(0.0)
    process.member.report(0.0)
    process.member.receive(ExchangeReply("e", 1), 0.0)
    assert process.member.report(0.0).buckets[0].take == 1


def test_a_grant_beyond_what_was_wanted_is_cut() -> None:
    process = Process("a", rpm=10)
    process.ask(0.0)
    process.member.report(0.0)
    process.member.receive(ExchangeReply("e", 1, (Grant("k", 10**9, 10.0**9),)), 0.0)
    assert process.allowance.headers(0.0)["x-ratelimit-remaining-requests"] == "10"
    assert sum(process.ask(0.0) for _ in range(100)) <= 11


# Breakers.


def opened(process: Process, now: float = 0.0, verdict: Verdict = ANSWERED) -> None:
    process.settle(process.admit(now), verdict, now)
    assert process.state() is State.OPEN


def test_an_opening_for_answers_reaches_the_others() -> None:
    arbiter, one, other = pair()
    opened(one)
    assert one.hurried
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 0.5)
    refused = other.admit(0.6)
    assert isinstance(refused, Refusal)
    assert refused.retry_after == pytest.approx(4.4)
    assert "status 500" in refused.why
    assert other.breaker.drain_events() == []


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Outcome.FAILURE, unanswered=True, cause="no connection"),
        Verdict(Outcome.FAILURE, cause="no first event in time"),
    ],
)
def test_what_the_own_network_may_have_caused_stays_here(verdict: Verdict) -> None:
    arbiter, one, other = pair()
    opened(one, verdict=verdict)
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 0.0)
    assert other.state() is State.CLOSED


@pytest.mark.parametrize(("last", "shared"), [(ANSWERED, False), (FAILED, False)])
def test_one_failure_that_was_no_answer_keeps_the_opening_here(last: Verdict, *, shared: bool) -> None:
    process = Process("a", BreakerConfig(consecutive=3))
    for verdict in (ANSWERED, FAILED, last):
        process.settle(process.admit(0.0), verdict, 0.0)
    assert process.state() is State.OPEN
    assert process.breaker.is_answered is shared


def test_one_process_probes_for_all() -> None:
    arbiter, one, other = pair()
    opened(one)
    for process in (one, other):
        process.trade(arbiter, 0.0)
        assert isinstance(process.admit(6.0), Refusal)
        assert process.breaker.can_admit(6.0)  # it would be admitted, once it has the right
        assert process.circuit.needs_right(6.0)
        process.circuit.ask()
    for process in (one, other):
        process.trade(arbiter, 6.0)
    probe = one.admit(6.1)
    assert isinstance(other.admit(6.1), Refusal)
    assert not other.circuit.needs_right(6.1)
    one.trade(arbiter, 6.1)  # it probes: the right is kept for longer
    other.trade(arbiter, 9.0)
    assert isinstance(other.admit(9.0), Refusal)
    one.settle(probe, SUCCESS, 9.5)
    assert one.state() is State.CLOSED
    one.trade(arbiter, 9.5)
    other.trade(arbiter, 9.6)
    assert other.state() is State.CLOSED


def test_a_probe_that_fails_opens_for_all_again() -> None:
    arbiter, one, other = pair()
    opened(one)
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 0.0)
    other.circuit.ask()
    other.trade(arbiter, 6.0)
    other.settle(other.admit(6.0), ANSWERED, 6.0)
    other.trade(arbiter, 6.0)
    one.trade(arbiter, 6.1)
    refused = one.admit(6.1)
    assert isinstance(refused, Refusal)
    assert refused.retry_after == pytest.approx(9.9)  # the second of a row, whoever found the first
    assert isinstance(other.admit(15.9), Refusal)


def test_a_probe_that_decides_nothing_leaves_the_right_to_another() -> None:
    arbiter, one, other = pair()
    opened(one)
    for process in (one, other):
        process.trade(arbiter, 0.0)
    one.circuit.ask()
    one.trade(arbiter, 6.0)
    other.trade(arbiter, 6.0)
    one.settle(one.admit(6.0), Verdict(Outcome.FAILURE, unanswered=True), 6.0)
    one.trade(arbiter, 6.0)
    assert one.state() is State.OPEN
    other.trade(arbiter, 6.1)
    assert other.circuit.needs_right(6.1)
    other.circuit.ask()
    other.trade(arbiter, 6.1)
    other.settle(other.admit(6.1), SUCCESS, 6.2)
    other.trade(arbiter, 6.2)
    one.trade(arbiter, 6.3)
    assert one.state() is State.OPEN  # its own finding stands
    assert one.admit(99.0).generation  # type: ignore[union-attr]


def test_an_unused_right_passes_to_another_process() -> None:
    arbiter, one, other = pair()
    opened(one)
    for process in (one, other):
        process.trade(arbiter, 0.0)
    one.circuit.ask()
    one.trade(arbiter, 6.0)
    other.trade(arbiter, 6.0)
    assert not other.circuit.needs_right(7.9)
    assert other.circuit.needs_right(8.1)
    assert isinstance(one.admit(8.1), Refusal)
    assert one.circuit.needs_right(8.1)
    other.circuit.ask()
    other.trade(arbiter, 8.1)
    assert not isinstance(other.admit(8.2), Refusal)
    one.circuit.ask()
    one.trade(arbiter, 8.2)
    assert isinstance(one.admit(8.3), Refusal)


def test_without_an_exchange_each_probes_by_itself() -> None:
    arbiter, one, other = pair()
    opened(one)
    for process in (one, other):
        process.trade(arbiter, 0.0)
        process.member.report(1.0)
        process.member.lose()
        assert not process.circuit.needs_right(6.0)
        assert not isinstance(process.admit(6.0), Refusal)


def test_an_opening_that_did_not_arrive_is_announced_again() -> None:
    arbiter, one, other = pair()
    opened(one)
    one.member.report(0.0)
    one.member.lose()
    one.trade(arbiter, 1.0)
    other.trade(arbiter, 1.0)
    assert other.state() is State.OPEN


def test_a_probe_that_passed_is_announced_again_where_the_exchange_failed() -> None:
    arbiter, one, other = pair()
    opened(one)
    for process in (one, other):
        process.trade(arbiter, 0.0)
    one.circuit.ask()
    one.trade(arbiter, 6.0)
    one.settle(one.admit(6.0), SUCCESS, 6.0)
    one.member.report(6.0)
    one.member.lose()
    one.trade(arbiter, 6.5)
    other.trade(arbiter, 6.6)
    assert other.state() is State.CLOSED


def test_an_arbiter_that_has_forgotten_is_told_of_openings_that_last() -> None:
    first, one, other = pair()
    opened(one)
    one.trade(first, 0.0)
    second = Arbiter("f")
    one.trade(second, 1.0)
    one.trade(second, 1.1)
    other.trade(second, 1.2)
    assert other.state() is State.OPEN
    third = Arbiter("g")
    one.trade(third, 9.0)
    assert one.trade(third, 9.1).circuits == ()  # that time is over


def test_a_rate_limit_pauses_the_model_everywhere() -> None:
    arbiter, one, other = pair()
    limited = Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, retry_after=9.0, answered=True)
    one.settle(one.admit(0.0, "m"), limited, 0.0)
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 1.0)
    refused = other.admit(1.0, "m")
    assert isinstance(refused, Refusal)
    assert (refused.pause, refused.model) == (PauseCause.RATE, "m")
    assert refused.retry_after == pytest.approx(8.0)
    assert not isinstance(other.admit(1.0, "n"), Refusal)
    other.breaker.impose_pause("m", "rate", 5.0, "shorter", 1.0)
    assert isinstance(other.admit(8.5, "m"), Refusal)
    other.breaker.impose_pause("n", "no such cause", 99.0, "", 1.0)
    assert not isinstance(other.admit(1.0, "n"), Refusal)


def test_a_limit_of_one_clients_own_key_stays_here() -> None:
    process = Process("a")
    permit = process.breaker.admit(0.0, call(key=b"own"))
    process.settle(permit, Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, retry_after=9.0), 0.0)
    assert process.circuit.openings() == ()


def test_a_forced_state_stays() -> None:
    arbiter, one, _ = pair()
    forced = Process("f", BreakerConfig(force="closed"))
    opened(one)
    one.trade(arbiter, 0.0)
    forced.trade(arbiter, 0.0)
    assert forced.state() is State.FORCED_CLOSED
    forced.breaker.impose_pause("m", "rate", 9.0, "", 0.0)
    assert not isinstance(forced.admit(0.0, "m"), Refusal)
    forced.breaker.relieve(0.0)
    assert forced.state() is State.FORCED_CLOSED


def test_a_longer_opening_of_another_process_lengthens_this_ones() -> None:
    arbiter, one, other = pair()
    opened(one, 0.0)
    opened(other, 3.0)
    for process in (one, other, one):
        process.trade(arbiter, 3.0)
    assert one.breaker.open_until == pytest.approx(8.0)
    one.breaker.impose(4.0, "", 3.0)
    assert one.breaker.open_until == pytest.approx(8.0)


def test_a_circuit_that_the_arbiter_forgot_decides_alone() -> None:
    arbiter, one, _ = pair()
    opened(one)
    one.trade(arbiter, 0.0)
    one.trade(arbiter, 6.0)
    assert isinstance(one.admit(6.0), Refusal)
    one.trade(arbiter, 6.0 + KEEP)
    assert not isinstance(one.admit(6.0 + KEEP), Refusal)


def test_a_wish_for_a_forgotten_circuit_frees_the_probe() -> None:
    arbiter, one, _ = pair()
    opened(one)
    one.trade(arbiter, 0.0)
    arbiter._circuits.clear()
    assert isinstance(one.admit(6.0), Refusal)
    one.circuit.ask()
    one.trade(arbiter, 6.0)
    assert not isinstance(one.admit(6.0), Refusal)


def test_news_of_a_pause_that_is_over_change_nothing() -> None:
    arbiter, one, other = pair()
    limited = Verdict(Outcome.NEUTRAL, pauses=PauseCause.RATE, retry_after=9.0, answered=True)
    one.settle(one.admit(0.0, "m"), limited, 0.0)
    one.trade(arbiter, 0.0)
    other.trade(arbiter, 9.0)
    assert not isinstance(other.admit(9.0, "m"), Refusal)


def test_news_of_a_state_that_this_version_does_not_know_change_nothing() -> None:
    process = Process("a")
    process.circuit.receive(CircuitNews("c", 1, "new"), "", sent_at=0.0, now=0.0)  # type: ignore[arg-type]
    assert process.state() is State.CLOSED


def test_a_breaker_that_probes_without_the_right_has_no_news() -> None:
    arbiter, one, _ = pair()
    opened(one, verdict=Verdict(Outcome.FAILURE, unanswered=True))
    one.settle(one.admit(6.0), SUCCESS, 6.0)
    report = one.member.report(6.0)
    assert (report.closed, report.released, report.wishes) == ((), (), ())
    assert arbiter.exchange(report, 6.0).circuits == ()


def test_breakers_that_left_take_no_part() -> None:
    arbiter, one, other = pair()
    opened(one)
    one.circuit.ask()
    one.member.remove(one.circuit)
    one.member.remove(SharedCircuit("c", one.breaker, one.member))
    report = one.member.report(0.0)
    assert (report.opened, report.wishes) == ((), ())
    one.member.receive(arbiter.exchange(report, 0.0), 0.0)
    opened(other)
    other.trade(arbiter, 0.0)
    one.breaker.reset(0.0)
    one.trade(arbiter, 0.0)
    assert one.state() is State.CLOSED


def test_announcements_are_bounded() -> None:
    process = Process("a")
    for number in range(MAX_CIRCUITS + 5):
        process.circuit.announce(float(number + 1), "", model=f"m{number}", cause="rate")
    assert len(process.circuit.openings()) == MAX_CIRCUITS
    assert "m0" not in process.circuit.openings()


# The arbiter.


def test_an_arbiter_is_bounded() -> None:
    arbiter = Arbiter("e")
    openings = tuple(CircuitOpening(f"c{n}", 10.0 + n, "") for n in range(MAX_CIRCUITS + 1))
    reply = arbiter.exchange(Report("a", opened=openings), 0.0)
    assert len(reply.circuits) == MAX_CIRCUITS
    assert "c0" not in {news.circuit for news in reply.circuits}


def test_only_its_prober_closes_or_releases_a_circuit() -> None:
    arbiter = Arbiter("e")
    arbiter.exchange(
        Report("a", opened=(CircuitOpening("c", 1.0, ""),), closed=("c", "d"), released=("c", "d")), 0.0
    )
    early = arbiter.exchange(Report("a", "e", 1, wishes=(Wish("c", 2.0), Wish("d", 2.0))), 0.5)
    assert [(news.circuit, news.state, news.prober) for news in early.circuits] == [
        ("c", "open", ""),
        ("d", "unknown", ""),
    ]
    arbiter.exchange(Report("a", wishes=(Wish("c", 2.0),)), 1.0)
    (news,) = arbiter.exchange(Report("b", closed=("c",), released=("c",)), 1.0).circuits
    assert news == CircuitNews("c", 2, "open", 0.0, "", "", "a", 2.0)
    (news,) = arbiter.exchange(Report("a", closed=("c",)), 1.0).circuits
    assert news.state == "closed"
    (news,) = arbiter.exchange(Report("b", wishes=(Wish("c", 2.0),)), 1.0).circuits
    assert news.state == "closed"
    assert arbiter.exchange(Report("b"), 1.0 + KEEP).circuits == ()


def test_a_member_that_has_ended_releases_its_probes_and_no_others() -> None:
    arbiter = Arbiter("e")
    arbiter.exchange(Report("a", opened=(CircuitOpening("c", 1.0, ""), CircuitOpening("d", 1.0, ""))), 0.0)
    arbiter.exchange(Report("a", wishes=(Wish("c", 60.0),)), 1.0)
    seen = arbiter.exchange(Report("b", wishes=(Wish("d", 60.0),)), 1.0).serial
    arbiter.release("a")
    arbiter.release("nobody")
    (news,) = arbiter.exchange(Report("b", "e", seen), 1.0).circuits
    assert (news.circuit, news.state, news.prober) == ("c", "open", "")
    bucket = BucketReport("k", 10, take=0, want=10, missing=0, known=True)
    assert arbiter.exchange(Report("a", "e", buckets=(bucket,)), 1.0).grants == (Grant("k", 10, 0.0),)
    arbiter.release("a")
    assert arbiter.exchange(Report("b", "e", buckets=(bucket,)), 1.0).grants == (Grant("k", 0, 0.0),)


def test_a_reply_brings_what_is_new() -> None:
    arbiter = Arbiter("e")
    reply = arbiter.exchange(Report("a", opened=(CircuitOpening("c", 1.0, "w", "rate"),)), 0.0)
    assert reply.circuits == (CircuitNews("c", 1, "open", 1.0, "w", "rate"),)
    assert arbiter.exchange(Report("a", "e", reply.serial), 0.0).circuits == ()
    assert arbiter.exchange(Report("a", "other", reply.serial), 0.0).circuits == reply.circuits


def test_a_bucket_of_an_unknown_process_counts_what_it_used_alone() -> None:
    arbiter = Arbiter("e")
    report = BucketReport("k", 10, take=1, want=3, missing=4, known=False)
    assert arbiter.exchange(Report("a", buckets=(report,)), 0.0).grants == (Grant("k", 3, 3.0),)
    known = BucketReport("k", 10, take=-2, want=0, missing=4, known=True)
    assert arbiter.exchange(Report("a", "e", buckets=(known,)), 0.0).grants == (Grant("k", 0, 5.0),)
