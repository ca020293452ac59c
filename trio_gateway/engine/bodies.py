"""Request bodies: counts, reads and encodes them without holding the event loop.

A small body is read at once. Others are scanned first, in slices between which other tasks run; then one
that is long, or has many values, is parsed, checked, cleaned and encoded in a worker thread, of which there
are two at most. A thread alone is not enough, as it holds the interpreter's lock: what runs there pauses
after each piece of work, and sleeps then for as long as it has worked, so that the loop gets at least half of
the time.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import trio
from msgspec.structs import replace

from ..core.budgets.body_ledger import BodyBudget
from ..core.client_api.chat_request import scan_chat_body
from ..core.errors import ApiError, RequestError
from ..core.json.encoding import encode_pieces
from ..core.json.strict import dumps
from .sliced_work import in_slices

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.client_api.request import ChatRequest

__all__ = ["Bodies", "Payload"]

_UNSCANNED: Final = 8 * 1024
"""Bytes of a body that is parsed at once: its values, whatever they are, take a few milliseconds."""
_AT_ONCE: Final = 256 * 1024
"""Bytes of a body that is parsed on the event loop once it has been scanned."""
_VALUES_AT_ONCE: Final = 5_000
"""Values of such a body: 3 us each, where all the checks find something to do."""
_IN_ONE_CALL: Final = 2 * 1024 * 1024
"""Bytes that are encoded in one call: 5 ms."""
_THREADS: Final = 2
_WORK: Final = 0.001
"""Seconds of work in a thread after which it sleeps."""
_LONGEST_NAP: Final = 0.005

T = TypeVar("T")
Fields: TypeAlias = dict[str, Any]
Parse: TypeAlias = "Callable[..., ChatRequest]"


class Bodies:
    """All request bodies of one gateway.

    Attributes:
        budget: The ledger of their bytes.
        threads: Limits the worker threads that read and encode large ones.
    """

    def __init__(self, max_bodies: int) -> None:
        self.budget = BodyBudget(max_bodies)
        self.threads = trio.CapacityLimiter(_THREADS)

    async def read(self, body: bytes | bytearray, *, parse: Parse) -> ChatRequest:
        """The request that *body* is; *parse* reads it, as the client API wants.

        Raises:
            RequestError: 400, with the place in ``param``.
        """
        if len(body) <= _UNSCANNED:
            return parse(body)
        values = await in_slices(scan_chat_body(body))
        if len(body) <= _AT_ONCE and values <= _VALUES_AT_ONCE:
            return parse(body)
        request = await self._in_thread(partial(_parsed, parse, body))
        return replace(request, large=len(body))

    async def encode(self, request: ChatRequest, fields: Callable[[], Fields]) -> Payload:
        """What is sent to an upstream for *request*: the object that *fields* makes of it."""
        if not request.large:
            return Payload([dumps(fields()).encode()])
        encode = _encoded if request.large <= _IN_ONE_CALL else _encoded_in_pieces
        return Payload(await self._in_thread(partial(encode, fields)))

    async def _in_thread(self, work: Callable[[Callable[[], None]], T]) -> T:
        done = await trio.to_thread.run_sync(_result, work, limiter=self.threads)
        if isinstance(done, ApiError):
            raise RequestError(done)
        return done


class Payload:
    """Payload of a request: keeps its pieces until the upstream has them."""

    __slots__ = ("pieces", "size")

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces))

    def drop(self) -> None:
        """Forget the bytes: the upstream has them."""
        self.pieces = []


class _Pause:
    """Pause of a worker thread: sleeps after each while of work, without the lock."""

    __slots__ = ("_since", "_used")

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._used = time.thread_time()

    def __call__(self) -> None:
        if time.perf_counter() - self._since < _WORK:
            return
        trio.from_thread.check_cancelled()  # the client may have left
        # CPU time, as a thread that waits for the lock or for a processor does not hold up the event loop.
        used = time.thread_time()
        time.sleep(min(used - self._used, _LONGEST_NAP))
        self._since, self._used = time.perf_counter(), used


def _result(work: Callable[[Callable[[], None]], T]) -> T | ApiError:
    """What *work* gives, or why it refuses the request.

    An exception that leaves a thread is kept there until the next one does, and with it all that the frames
    of its traceback hold: the body, and what has been read of it.
    """
    try:
        return work(_Pause())
    except RequestError as refused:
        return refused.error


def _parsed(parse: Parse, body: bytes | bytearray, pause: Callable[[], None]) -> ChatRequest:
    return parse(body, pause=pause)


def _encoded(fields: Callable[[], Fields], _pause: Callable[[], None]) -> list[bytes]:
    return [dumps(fields()).encode()]


def _encoded_in_pieces(fields: Callable[[], Fields], pause: Callable[[], None]) -> list[bytes]:
    return encode_pieces(fields(), pause=pause)
