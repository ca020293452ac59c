"""What a WebSocket does with each message: the table, and what holds after any messages whatever."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_gateway.core.errors import error_for
from trio_gateway.server.websocket.mailbox import ClientMessage
from trio_gateway.server.websocket.states import IN_PROGRESS, RESTART, REVOKED, Act, Close, Dialogue

CANCEL = '{"type": "cancel"}'


NOT_KEPT = "not kept"


def message(text: str | bytes) -> ClientMessage:
    """A text, a binary message, or one that there was no room for."""
    if isinstance(text, bytes):
        return ClientMessage(is_text=False)
    if text == NOT_KEPT:
        return ClientMessage(error=error_for("overloaded", "no room"))
    return ClientMessage(text.encode(errors="replace"))


def busy() -> Dialogue:
    dialogue = Dialogue()
    assert receive(dialogue, "{}") is Act.ANSWER
    return dialogue


def receive(dialogue: Dialogue, text: str | bytes, now: float = 0.0) -> Act | Close:
    return dialogue.receive(message(text), now)


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
    assert (receive(Dialogue(), message), receive(busy(), message)) == (when_idle, when_busy)


def test_what_was_not_kept_fails_or_is_refused_like_any_other() -> None:
    idle = Dialogue()
    assert receive(idle, NOT_KEPT) is Act.FAIL
    assert receive(idle, "{}") is Act.REFUSE  # until its error has been sent
    assert code(idle.finish("overloaded")) == 1013
    assert receive(busy(), NOT_KEPT) is Act.REFUSE


def test_what_came_while_an_answer_ran_is_refused_though_that_has_ended() -> None:
    dialogue = Dialogue()
    assert dialogue.receive(ClientMessage(error=IN_PROGRESS), 0.0) is Act.REFUSE
    assert not dialogue.is_busy


def test_a_long_message_is_no_word_to_stop() -> None:
    cancel = CANCEL + " " * 5000
    assert receive(Dialogue(), cancel) is Act.ANSWER
    assert receive(busy(), cancel) is Act.REFUSE


@pytest.mark.parametrize("message", [b"", b"{}"])
@pytest.mark.parametrize("dialogue", [Dialogue, busy])
def test_a_binary_message_ends_it(dialogue: type[Dialogue], message: bytes) -> None:
    assert code(receive(dialogue(), message)) == 1003


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
    assert receive(dialogue, CANCEL) is Act.IGNORE
    draining = busy()
    assert draining.leave(RESTART) is None
    assert draining.leave(REVOKED) is None  # too late: it is leaving already
    assert code(draining.finish(error)) == 1012
    assert code(draining.leave(REVOKED)) == 1012


def test_no_more_than_64_messages_beside_one_answer() -> None:
    dialogue = Dialogue()
    now = 0.0
    for _ in range(2):
        assert receive(dialogue, "{}", now) is Act.ANSWER
        for _ in range(64):
            now += 1.0
            assert receive(dialogue, "{}", now) is Act.REFUSE
        dialogue.finish()
    assert receive(dialogue, "{}", now + 1) is Act.ANSWER
    steps = [receive(dialogue, CANCEL, now + 2 + each) for each in range(65)]
    assert steps[:-1] == [Act.CANCEL] * 64
    assert code(steps[-1]) == 1008


def test_no_more_than_100_messages_in_10_seconds() -> None:
    for last, allowed in ((9.9, False), (10.0, True)):
        dialogue = Dialogue()
        assert {receive(dialogue, CANCEL, 0.0) for _ in range(100)} == {Act.IGNORE}
        assert code(receive(dialogue, CANCEL, last)) == (None if allowed else 1008)


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
    @rule(message=st.sampled_from([CANCEL, "{}", "", b"", NOT_KEPT]), gap=st.sampled_from([0.0, 0.05, 1.0]))
    def receive(self, message: str | bytes, gap: float) -> None:
        self.now += gap
        match receive(self.dialogue, message, self.now):
            case Act.ANSWER | Act.FAIL:
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
    assert receive(busy(), f'{text}"cancel"') in {Act.REFUSE, Act.CANCEL}
