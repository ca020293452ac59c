"""Call: one admitted request, with everything that travels with it until its answer is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.client_api.request import ChatRequest
    from ..core.config import ModelConfig
    from .lease import Lease
    from .memory import RequestMemory
    from .request_record import RequestRecord
    from .route import Route
    from .services import Services

__all__ = ["Call"]


@dataclass(slots=True, kw_only=True)
class Call:
    """One admitted request with everything that travels with it."""

    request: ChatRequest
    record: RequestRecord
    services: Services
    model: ModelConfig
    """The entry of the configuration that serves the requested model."""
    route: Route
    memory: RequestMemory
    """What the large events and the gathered answer of this request may take."""
    deadline: float
    """Instant of Trio's clock by which the whole answer, with all its attempts, must be over."""
    authorization: str | None = None
    """The client's own ``Authorization`` header, for upstreams that take its key."""
    buffered: bool = False
    """The client gets the answer when it is whole, so until then it can be begun anew."""
    first_lease: Lease | None
    leave: Callable[[], None] | None
    """Gives back the place among the running streams."""

    def take_first_lease(self) -> Lease:
        """The lease of the first attempt, which the caller has to give back from now on.

        Raises:
            RuntimeError: it was taken already: a call is for one answer.
        """
        if self.first_lease is None:
            raise RuntimeError("a call is for one answer")
        lease, self.first_lease = self.first_lease, None
        return lease

    def close(self) -> None:
        """Give back what is still held. Closing again changes nothing."""
        if self.first_lease is not None:
            self.first_lease.release()
            self.first_lease = None
        self.memory.close()
        if self.leave is not None:
            self.leave()
            self.leave = None
