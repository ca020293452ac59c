"""Memory of one request: bounds its large events, answer and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.budgets.held_bytes import ByteBudget
from ..core.config import ServerConfig

if TYPE_CHECKING:
    from ..core.budgets.held_bytes import Holding

__all__ = ["COUNTED_OVER", "RequestMemory"]

# Bytes of an event or a gathered answer that the ledger of all requests does not look at. So ordinary answers
# come through however many large ones there are.
COUNTED_OVER = 64 * 1024
# Bytes that may wait in one stream: batches that its client has not taken, log probabilities.
_STREAM = 1024 * 1024


class RequestMemory:
    """The ledgers of one request.

    *shared* is that of all requests together. Closing it twice is harmless.
    """

    def __init__(self, server: ServerConfig | None = None, shared: ByteBudget | None = None) -> None:
        server = server or ServerConfig()
        self._max_answer = server.max_answer
        self._shared = shared or ByteBudget(server.max_held)
        self._answer = self._shared.hold()
        self.max_event = server.max_event
        self.stream = ByteBudget(_STREAM)
        """For what waits in a stream, the one event that is being read or delivered apart."""

    def hold_event(self) -> Holding:
        """A holding for one event that is read and delivered; see :meth:`counted`."""
        return self._shared.hold()

    def fits(self, holding: Holding, size: int) -> bool:
        """Hold an event of *size* bytes by *holding*; False where all requests together hold too much."""
        return holding.resize(size if size > COUNTED_OVER else 0)

    def refusal(self, holding: Holding, size: int) -> str | None:
        """Hold an answer of *size* bytes that is gathered by *holding*; or why it may not be so large."""
        if size > self._max_answer:
            return f"The answer is larger than {self._max_answer} bytes; ask for it as a stream."
        if not self.fits(holding, size):
            return "The gateway gathers too many large answers at present; ask for this one as a stream."
        return None

    def answer_refusal(self, size: int) -> str | None:
        """The same for the answer that the client gets in one piece."""
        return self.refusal(self._answer, size)

    def close(self) -> None:
        """The answer has been sent, or never will be."""
        self._answer.release()
