"""Spans of calls: how each ends, whatever the tracer is, and that without one nothing has an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trio_gateway.engine.tracing import NO_SPAN, NO_TRACER, call_span, chat_name, step_span

if TYPE_CHECKING:
    from trio_gateway.engine.tracing import Attributes, Span


class Recorded:
    """A span that keeps what it is told."""

    trace_id = "0" * 31 + "1"
    traceparent = f"00-{trace_id}-{'0' * 15}1-01"

    def __init__(self, name: str, attributes: Attributes, *, calls: bool) -> None:
        self.name = name
        self.attributes = dict(attributes)
        self.calls = calls
        self.error: str | None = None
        self.ends = 0
        self.parts: list[Recorded] = []

    def begin(self, name: str, attributes: Attributes, *, calls: bool = False) -> Span:
        self.parts.append(Recorded(name, attributes, calls=calls))
        return self.parts[-1]

    def event(self, name: str) -> None:
        self.attributes[name] = True

    def end(self, attributes: Attributes, *, name: str | None = None, error: str | None = None) -> None:
        self.name = name or self.name
        self.attributes |= attributes
        self.error = error
        self.ends += 1


async def _call(parent: Span, how: str) -> None:
    with call_span(parent, model="m", url="https://host/v1?key=secret", attributes={"a": 1}) as call:
        match how:
            case "ok":
                call.conclude(None)
            case "fails":
                call.conclude("idle_timeout")
            case "bug":
                raise ZeroDivisionError
            case _:
                await trio.sleep_forever()


@pytest.mark.parametrize(
    ("how", "outcome", "error"),
    [
        ("ok", "ok", None),
        ("fails", "error", "idle_timeout"),
        ("bug", "error", "internal_error"),
        ("cancelled", "cancelled", None),
    ],
)
async def test_a_call_ends_once_with_its_outcome(how: str, outcome: str, error: str | None) -> None:
    parent = Recorded("request", {}, calls=False)
    with trio.move_on_after(0.01):
        if how == "bug":
            with pytest.raises(ZeroDivisionError):
                await _call(parent, how)
        else:
            await _call(parent, how)
    (call,) = parent.parts
    assert (call.ends, call.error, call.attributes["gateway.outcome"]) == (1, error, outcome)
    assert (call.name, call.calls, call.attributes["a"]) == ("chat m", True, 1)
    assert (call.attributes["server.address"], "server.port" in call.attributes) == ("host", False)
    assert "secret" not in str(call.attributes)


def test_a_step_ends_with_a_bug_too() -> None:
    parent = Recorded("request", {}, calls=False)
    with pytest.raises(ZeroDivisionError), step_span(parent, "prompt_summary"):
        raise ZeroDivisionError
    assert [(part.name, part.ends, part.calls) for part in parent.parts] == [("prompt_summary", 1, False)]


async def test_without_a_tracer_nothing_has_an_effect() -> None:
    span = NO_TRACER.begin("chat", {}, traceparent=Recorded.traceparent)
    assert span is NO_SPAN
    assert span.begin("part", {}, calls=True) is NO_SPAN
    assert (span.trace_id, span.traceparent) == (None, None)
    span.event("any")
    span.end({}, name="any", error="any")
    await NO_TRACER.aclose()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("org/m:1", "chat org/m:1"),
        ("a\r\nb\x00\ud800c\u202e", "chat a bc"),
        ("x" * 10_000, "chat " + "x" * 128),
    ],
    ids=["an id", "hostile", "long"],
)
def test_a_models_id_is_made_harmless(model: str, name: str) -> None:
    assert chat_name(model) == name
    name.encode()
