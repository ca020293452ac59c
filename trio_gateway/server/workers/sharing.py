"""Sharing: workers trade limits and breaker changes through their parent."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal

from ...core.sharing import Arbiter
from ...engine.shared_state import SharedStateError
from .channel import ChannelError
from .channel_messages import Trade, Traded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...core.sharing import ExchangeReply, Report
    from .channel import ControlChannel

__all__ = ["Arbitration", "ParentStore"]


class ParentStore:
    """The parent's arbiter, as a worker reaches it over *channel*."""

    between: Final[Literal["workers"]] = "workers"

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[ParentStore]:
        """The channel itself, which is open as long as the parent runs.

        Raises:
            SharedStateError: the parent has ended.
        """
        if self._channel.closed.is_set():
            raise SharedStateError("the parent has ended")
        yield self

    async def exchange(self, report: Report) -> ExchangeReply:
        """Trade *report* for what the parent grants and knows.

        Raises:
            SharedStateError: the parent has ended, or gave no answer.
        """
        try:
            return (await self._channel.ask(Trade(report), Traded)).reply
        except ChannelError as error:
            raise SharedStateError(f"the parent does not answer: {error}") from None


class Arbitration:
    """Arbiter in the parent, for workers known by number.

    Instants are seconds of any one clock.
    """

    def __init__(self) -> None:
        self._arbiter = Arbiter(secrets.token_hex(8))
        self._members: dict[int, str] = {}

    def exchange(self, number: int, report: Report, now: float) -> ExchangeReply:
        """Answer the *report* of that worker."""
        self._members[number] = report.member
        return self._arbiter.exchange(report, now)

    def forget(self, number: int) -> None:
        """The process of that worker has ended: what it was probing, another one may."""
        member = self._members.pop(number, None)
        if member is not None:
            self._arbiter.release(member)
