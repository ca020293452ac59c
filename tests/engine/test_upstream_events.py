"""What an upstream's bytes become before they are read as an answer."""

from __future__ import annotations

import pytest

from trio_gateway.core.breaker import Outcome
from trio_gateway.core.sse import SSEDecoder, SSEEvent
from trio_gateway.core.upstream_api.chunks import ChoiceError, parse_chunk
from trio_gateway.core.upstream_api.faults import Replay
from trio_gateway.engine.upstream_answer import UpstreamFailure
from trio_gateway.engine.upstream_events import PROTOCOL_FAULTS, decoded, is_final


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        ('{"choices": [{"delta": {"score": -Infinity}}]}', "choices[0].delta.score: -Infinity"),
        ('{"choices": 5}', "choices: not a list"),
        ('{"a\\u202e\\nb": {"c": 1, "c": 1}}', '["a\\u202e\\nb"].c: a duplicate key'),
        ("[" * 300, "chunk: more than 128 levels of nesting"),
        ('{"%s": 1, "%s": 1}' % (("x" * 1000,) * 2), "x" * 20),
    ],
)
def test_what_is_no_chunk_is_named(data: str, flaw: str) -> None:
    with pytest.raises(UpstreamFailure) as caught, PROTOCOL_FAULTS:
        parse_chunk(data)
    error = caught.value.fault.error
    assert (error.code, error.status) == ("upstream_protocol", 502)
    assert error.message.startswith(f"The upstream sent an event that is no chunk ({flaw}")
    assert error.message.isprintable()
    assert len(error.message) < 250


def test_choices_that_nobody_asked_for_are_due_to_no_upstream() -> None:
    with pytest.raises(UpstreamFailure) as caught, PROTOCOL_FAULTS:
        raise ChoiceError("choices: more than 128")
    assert (caught.value.fault.outcome, caught.value.fault.replay) == (Outcome.NEUTRAL, Replay.NEXT)


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), PROTOCOL_FAULTS:
        raise KeyError


def test_the_end_of_a_stream_gives_what_it_has_cut_off() -> None:
    decoder = SSEDecoder(max_line=40)
    assert decoded(decoder, b"data: a\n\ndata: b") == [SSEEvent(data="a")]
    assert decoded(decoder) == [SSEEvent(data="b")]
    with pytest.raises(UpstreamFailure, match="a line that is too long"):
        decoded(SSEDecoder(max_line=40), b"data: " + b"x" * 100)


@pytest.mark.parametrize(
    ("event", "final"),
    [
        (SSEEvent(data=" [DONE] "), True),
        (SSEEvent(data='{"finish_reason": "stop"}'), True),
        (SSEEvent(raw=bytearray(b'{"finish_reason": null}')), True),
        (SSEEvent(data='{"choices": []}'), False),
    ],
)
def test_which_event_may_be_the_last_one(event: SSEEvent, final: bool) -> None:
    assert is_final(event) is final
