"""What a WebSocket does with each message: a state machine without I/O.

A socket is idle, or busy with one answer. A message to an idle socket is a request, which makes it busy; a
message to a busy one is a word to stop, or is refused. The last frame of an answer makes the socket idle
again: from then on the client may ask, even while the answer's leavings are still being cleared away.

A message that has not been kept (it was large while an answer ran, there was no room for it, or it did not
come to its end) is refused in the same way, or with an error of its own where no answer runs.

Some things end the socket, with the code that its close frame bears: a message that is no text, or too many
of them; the end of the gateway or of the client's key, at once where the socket is idle and otherwise behind
the answer; and the answer that the gateway is overloaded, after which it is better to come back than to stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from ...core.errors import error_for
from ...core.json.strict import StrictJSONError, parse
from ..transport.flood import Flood

if TYPE_CHECKING:
    from .mailbox import ClientMessage

__all__ = ["FAULT", "IN_PROGRESS", "RESTART", "REVOKED", "Act", "Close", "Dialogue"]

_WHILE_BUSY: Final = 64
_MESSAGES: Final = 100
_SECONDS: Final = 10.0
_LONGEST_CANCEL: Final = 4096
"""Bytes of a message that may ask to cancel; a longer one is a request."""


@dataclass(frozen=True, slots=True)
class Close:
    """The socket ends."""

    code: int
    """As registered for the close frames of RFC 6455."""
    reason: str


IN_PROGRESS: Final = error_for("request_in_progress", "The answer to the request before this one is running.")
"""The error of a request that comes while an answer runs."""
FAULT: Final = Close(1011, "the gateway made a mistake")
_NO_TEXT: Final = Close(1003, "messages are text")
_FLOOD: Final = Close(1008, "too many messages")
RESTART: Final = Close(1012, "the gateway is restarting")
REVOKED: Final = Close(1008, "the key is not valid any more")
_OVERLOADED: Final = Close(1013, "the gateway is busy")
# What an answer's error means for the socket; after any other it stays.
_AFTER: Final = {"shutting_down": RESTART, "invalid_api_key": REVOKED, "overloaded": _OVERLOADED}


class Act(Enum):
    """What follows a message that does not end the socket."""

    ANSWER = auto()
    """It is a request: an answer to it is running from now on."""
    CANCEL = auto()
    """The running answer is not wanted any more. It has still to be ended, with an error that says so."""
    REFUSE = auto()
    """It is a request while another one's answer is running."""
    FAIL = auto()
    """It has not been kept, and its error is the answer; the socket is busy until that has been sent."""
    IGNORE = auto()
    """It asks to cancel what is over."""


Step: TypeAlias = Act | Close


class Dialogue:
    """One socket's state. Instants are seconds of any one clock."""

    def __init__(self) -> None:
        self.is_busy = False
        """An answer runs."""
        self._leaving: Close | None = None
        self._while_busy = 0
        self._flood = Flood(_MESSAGES, seconds=_SECONDS)

    def receive(self, message: ClientMessage, now: float) -> Step:
        """Take a message."""
        if not message.is_text:
            return _NO_TEXT
        self._while_busy += self.is_busy
        if self._flood.add(now) or self._while_busy > _WHILE_BUSY:
            return _FLOOD
        if _cancels(message.data):
            return Act.CANCEL if self.is_busy else Act.IGNORE
        if self.is_busy or message.error is IN_PROGRESS:
            return Act.REFUSE
        self.is_busy, self._while_busy = True, 0
        return Act.ANSWER if message.error is None else Act.FAIL

    def finish(self, error_code: str | None = None) -> Close | None:
        """The end of an answer is about to be sent, which with a code is an error.

        What comes after it: the end of the socket, or None where that stays.
        """
        self.is_busy = False
        return self._leaving or _AFTER.get(error_code or "")

    def leave(self, end: Close) -> Close | None:
        """The socket has to end. None: the answer that is running may finish."""
        self._leaving = self._leaving or end
        return None if self.is_busy else self._leaving


def _cancels(message: bytes | bytearray) -> bool:
    if len(message) > _LONGEST_CANCEL or b'"cancel"' not in message:  # most need not be read twice
        return False
    try:
        value = parse(message)
    except StrictJSONError:  # no request either, as its answer will say
        return False
    return isinstance(value, dict) and value.get("type") == "cancel"
