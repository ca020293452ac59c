"""Upstream events: decodes a body's events, and names what is wrong with them."""

from __future__ import annotations

from typing import Final

from ..core.breaker import Outcome
from ..core.errors import clean_text, error_for
from ..core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent
from ..core.upstream_api.chunks import ChoiceError, ProtocolError
from ..core.upstream_api.faults import Fault, Replay
from .upstream_answer import UpstreamFailure

__all__ = ["PROTOCOL_FAULTS", "decoded", "is_final"]


_MAX_FLAW: Final = 160
"""Characters that say what is wrong with an event."""


def decoded(decoder: SSEDecoder, chunk: bytes | None = None) -> list[SSEEvent]:
    """The events that *chunk* completes, or, without one, what the end of the stream has cut off."""
    try:
        return decoder.finish() if chunk is None else decoder.feed(chunk)
    except LineTooLongError as error:
        raise UpstreamFailure.of("line_too_long", "The upstream sent a line that is too long.") from error


def is_final(event: SSEEvent) -> bool:
    """Whether *event* is evidently the last one of an answer."""
    return event.data.strip() == DONE or '"finish_reason"' in event.data or b'"finish_reason"' in event.raw


class _ProtocolFaults:
    """Context that turns protocol errors of a chunk into faults.

    A class, as a generator would take a microsecond more, twice for each token.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ChoiceError):
            # The client has chosen their number, perhaps in a way that the upstream reads differently.
            message = "The upstream sent more choices than were asked for."
            fault = Fault(error_for("upstream_protocol", message), Outcome.NEUTRAL, Replay.NEXT)
            raise UpstreamFailure(fault) from error
        if isinstance(error, ProtocolError):
            message = f"The upstream sent an event that is no chunk ({clean_text(str(error), _MAX_FLAW)})."
            raise UpstreamFailure.of("upstream_protocol", message) from error


PROTOCOL_FAULTS: Final = _ProtocolFaults()
