"""What a WebSocket does with each message: the table, and what holds after any messages whatever."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_gateway.server.dialogue import RESTART, REVOKED, Act, Close, Dialogue

CANCEL = '{"type": "cancel"}'


def busy() -> Dialogue:
    dialogue = Dialogue()
    assert dialogue.receive("{}", 0.0) is Act.ANSWER
    return dialogue


def code(step: Act | Close | None) -> int | None:
    return step.code if isinstance(step, Close) else None


@pytest.mark.parametrize(
    ("message", "when_idle", "when_busy"),
    [
        ("{}", Act.ANSWER, Act.REFUSE),
        ("", Act.ANSWER, Act.REFUSE),
        ("no JSON", Act.ANSWER, Act.REFUSE),
        (CANCEL, Act.IGNORE, Act.CANCEL),
        ('\n{"type":"cancel"}\n', Act.IGNORE, Act.CANCEL),
        ('{"type": "cancel", "why": "time"}', Act.IGNORE, Act.CANCEL),
        ('{"type": "cancel"', Act.ANSWER, Act.REFUSE),
        ('["cancel"]', Act.ANSWER, Act.REFUSE),
        ('"cancel"', Act.ANSWER, Act.REFUSE),
        ('{"why": "cancel"}', Act.ANSWER, Act.REFUSE),
        ('{"type": "cancel", "type": "cancel"}', Act.ANSWER, Act.REFUSE),
        ("[" * 100_000 + '"cancel"', Act.ANSWER, Act.REFUSE),
        (json.dumps({"messages": [{"role": "user", "content": CANCEL}]}), Act.ANSWER, Act.REFUSE),
    ],
)
def test_messages(message: str, when_idle: Act, when_busy: Act) -> None:
    assert (Dialogue().receive(message, 0.0), busy().receive(message, 0.0)) == (when_idle, when_busy)


@pytest.mark.parametrize("message", [b"", b"{}"])
@pytest.mark.parametrize("dialogue", [Dialogue, busy])
def test_a_binary_message_ends_it(dialogue: type[Dialogue], message: bytes) -> None:
    assert code(dialogue().receive(message, 0.0)) == 1003


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, None),
        ("idle_timeout", None),
        ("circuit_open", None),
        ("rate_limit_exceeded", None),
        ("cancelled", None),
        ("overloaded", 1013),
        ("shutting_down", 1012),
        ("invalid_api_key", 1008),
    ],
)
def test_what_follows_an_answer(error: str | None, end: int | None) -> None:
    dialogue = busy()
    assert code(dialogue.finish(error)) == end
    assert dialogue.receive(CANCEL, 0.0) is Act.IGNORE
    draining = busy()
    assert draining.leave(RESTART) is None
    assert draining.leave(REVOKED) is None  # too late: it is leaving already
    assert code(draining.finish(error)) == 1012
    assert code(draining.leave(REVOKED)) == 1012


def test_no_more_than_64_messages_beside_one_answer() -> None:
    dialogue = Dialogue()
    now = 0.0
    for _ in range(2):
        assert dialogue.receive("{}", now) is Act.ANSWER
        for _ in range(64):
            now += 1.0
            assert dialogue.receive("{}", now) is Act.REFUSE
        dialogue.finish()
    assert dialogue.receive("{}", now + 1) is Act.ANSWER
    steps = [dialogue.receive(CANCEL, now + 2 + each) for each in range(65)]
    assert steps[:-1] == [Act.CANCEL] * 64
    assert code(steps[-1]) == 1008


def test_no_more_than_100_messages_in_10_seconds() -> None:
    for last, allowed in ((9.9, False), (10.0, True)):
        dialogue = Dialogue()
        assert {dialogue.receive(CANCEL, 0.0) for _ in range(100)} == {Act.IGNORE}
        assert code(dialogue.receive(CANCEL, last)) == (None if allowed else 1008)


class AnySocket(RuleBasedStateMachine):
    """Whatever comes in whatever order, one answer runs at a time, and each has one end."""

    @initialize()
    def begin(self) -> None:
        self.dialogue = Dialogue()
        self.running = False
        self.draining = False
        self.now = 0.0
        self.end: Close | None = None

    @precondition(lambda self: self.end is not None)
    @rule()
    def open_another(self) -> None:
        self.begin()

    @precondition(lambda self: self.end is None)
    @rule(message=st.sampled_from([CANCEL, "{}", "", b""]), gap=st.sampled_from([0.0, 0.05, 1.0]))
    def receive(self, message: str | bytes, gap: float) -> None:
        self.now += gap
        match self.dialogue.receive(message, self.now):
            case Act.ANSWER:
                assert not self.running
                self.running = True
            case Act.CANCEL | Act.REFUSE:
                assert self.running
            case Act.IGNORE:
                assert not self.running
            case Close() as end:
                assert end.code == 1003 if message == b"" else end.code == 1008
                self.end = end

    @precondition(lambda self: self.end is None and self.running)
    @rule(error=st.sampled_from([None, "overloaded", "idle_timeout"]))
    def finish(self, error: str | None) -> None:
        self.running = False
        self.end = self.dialogue.finish(error)
        assert (self.end is None) is (not self.draining and error != "overloaded")

    @precondition(lambda self: self.end is None)
    @rule()
    def drain(self) -> None:
        self.draining = True
        self.end = self.dialogue.leave(RESTART)

    @invariant()
    def a_gateway_that_stops_keeps_no_idle_socket(self) -> None:
        assert self.end is not None or self.running or not self.draining


TestAnySocket = AnySocket.TestCase


@given(st.text())
def test_no_text_whatever_raises(text: str) -> None:
    assert busy().receive(f'{text}"cancel"', 0.0) in {Act.REFUSE, Act.CANCEL}
