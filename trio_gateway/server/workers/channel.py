"""Control channel: asks and answers over the socket between the parent and a worker.

A frame is its length (4 bytes, big-endian) and a MessagePack object, a :class:`~.messages.Ask` or
:class:`~.messages.Tell`. One task writes, so that a caller who is cancelled never leaves half a frame.
"""

from __future__ import annotations

import math
import struct
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import structlog
import trio

from .channel_messages import Ask, Failed, Reply, Tell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .channel_messages import Question

__all__ = ["MAX_FRAME", "ChannelError", "ControlChannel"]

log = structlog.get_logger("trio_gateway.server")

R = TypeVar("R", bound=Reply)

MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes of one message: the settings with many thousands of keys are far below."""
_AT_ONCE: Final = 64
"""Questions of the other end that are being answered at a time."""
_QUEUED: Final = 64
"""Messages that wait to be written; who has one more waits for a place."""
_READ: Final = 64 * 1024

_LENGTH: Final = struct.Struct(">I")
_DECODER: Final = msgspec.msgpack.Decoder(Ask | Tell)
_ENCODER: Final = msgspec.msgpack.Encoder()


class ChannelError(Exception):
    """No answer came: the other end has gone, is too slow, or failed."""


class ControlChannel:
    """One end of the channel. :meth:`run` has to run beside who asks."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.closed = trio.Event()
        """Set when the other end has gone, or has sent what is no message."""
        self._stream = stream
        self._received = bytearray()
        self._outgoing, self._to_write = trio.open_memory_channel[bytes](_QUEUED)
        self._numbers = count()
        self._waiting: dict[int, _Waiting] = {}
        self._answering = 0

    async def run(self, answer: Callable[[Question], Awaitable[Reply]]) -> None:
        """Have *answer* answer the other end's questions, each in a task, until that end closes the channel.

        What *answer* raises is logged, and the question is answered with :class:`~.messages.Failed`.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                while (frame := await self._next_frame()) is not None:
                    self._take(_DECODER.decode(frame), answer, nursery)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has gone
        except* (ChannelError, msgspec.DecodeError) as errors:
            log.error("channel_broken", message=str(errors.exceptions[0]))
        finally:
            self.closed.set()
            for waiting in self._waiting.values():
                waiting.done.set()
            self._to_write.close()
            await trio.aclose_forcefully(self._stream)

    async def ask(self, question: Question, expected: type[R], *, within: float = math.inf) -> R:
        """The other end's reply, which must be of the type *expected* and come *within* so many seconds.

        Raises:
            ChannelError: there is none.
        """
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting()
        try:
            if not self.closed.is_set():
                with trio.fail_after(within):
                    await self._outgoing.send(_frame(Ask(number, question)))
                    await waiting.done.wait()
        except trio.TooSlowError:
            raise ChannelError(f"no answer within {within:g} s") from None
        except trio.BrokenResourceError:
            pass  # as where it was closed before
        finally:
            del self._waiting[number]
        if isinstance(waiting.reply, expected):
            return waiting.reply
        if isinstance(waiting.reply, Failed):
            raise ChannelError(waiting.reply.message)
        raise ChannelError(
            "the channel is closed" if waiting.reply is None else "the answer is of another kind"
        )

    def _take(
        self, message: Ask | Tell, answer: Callable[[Question], Awaitable[Reply]], nursery: trio.Nursery
    ) -> None:
        if isinstance(message, Tell):
            waiting = self._waiting.get(message.number)
            if waiting is not None:  # else nobody waits for it any more
                waiting.reply = message.reply
                waiting.done.set()
        elif self._answering >= _AT_ONCE:
            # Not left unread: behind it stand replies, for which an answer may be waiting.
            nursery.start_soon(self._reply, message.number, Failed("too many questions at once"))
        else:
            self._answering += 1
            nursery.start_soon(self._answer, message, answer)

    async def _answer(self, message: Ask, answer: Callable[[Question], Awaitable[Reply]]) -> None:
        try:
            reply = await answer(message.question)
        except ChannelError as error:
            reply = Failed(str(error))
        except Exception:
            log.exception("question_failed", question=type(message.question).__name__)
            reply = Failed("a mistake of the gateway: see its log")
        finally:
            self._answering -= 1
        await self._reply(message.number, reply)

    async def _reply(self, number: int, reply: Reply) -> None:
        try:
            frame = _frame(Tell(number, reply))
        except ChannelError as error:
            frame = _frame(Tell(number, Failed(str(error))))
        await self._outgoing.send(frame)

    async def _write(self) -> None:
        async for frame in self._to_write:
            await self._stream.send_all(frame)

    async def _next_frame(self) -> bytes | None:
        """The next whole frame; None: the other end has closed the channel."""
        head = await self._take_bytes(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise ChannelError(f"a message of {length} bytes, more than {MAX_FRAME}")
        return await self._take_bytes(length)

    async def _take_bytes(self, wanted: int) -> bytes | None:
        while len(self._received) < wanted:
            data = await self._stream.receive_some(_READ)
            if not data:
                return None
            self._received += data
        taken = bytes(self._received[:wanted])
        del self._received[:wanted]
        return taken


class _Waiting:
    """A question under way."""

    __slots__ = ("done", "reply")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.reply: Reply | None = None


def _frame(message: Ask | Tell) -> bytes:
    body = _ENCODER.encode(message)
    if len(body) > MAX_FRAME:
        raise ChannelError(f"a message of {len(body)} bytes, more than {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body
