"""WebSocket session: answers one request after the other on a socket.

One task takes the messages for as long as the socket lives: what is not taken stands in the mailbox, and when
that is full the socket is not read any more. Another waits for the gateway to stop, and each answer has
a task of its own. What to do with a message is decided in :mod:`trio_gateway.server.websocket.states`.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog
import trio
from msgspec.structs import replace

from ...core.access.shown_key import body_owner
from ...core.client_api import DONE_FRAME, FORMATS, error_object, frame_slices
from ...core.errors import INTERNAL_ERROR, ApiError, RequestError, error_for
from ...core.events import Done, Failure
from ...core.json.strict import dumps
from ...engine.request_record import RequestRecord
from ...engine.stream import open_stream
from ..batch_sink import BatchSink
from ..chat_http import make_encoder
from ..identity import identify
from .states import FAULT, IN_PROGRESS, RESTART, REVOKED, Act, Close, Dialogue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from ...core.client_api import Encoder, WireFormat
    from ...core.client_api.request import ChatRequest
    from ...core.events import Batch
    from ...engine.call import Call
    from ...engine.clients import Client
    from ...engine.gateway import Gateway
    from .mailbox import ClientMessage, Mailbox

__all__ = ["Conversation", "SocketWire"]

log = structlog.get_logger("trio_gateway.server")


class SocketWire(Protocol):
    """The messages of a socket."""

    @property
    def mailbox(self) -> Mailbox:
        """Where the client's messages come from."""

    async def send(self, texts: Iterable[str]) -> None:
        """Send messages, all of them or none."""


class Conversation:
    """All requests of one socket, and their answers.

    *client*: who opened it, from the address *peer*. *socket_id*: requests are named after it, with a number.
    *fixed_format*: the format of every answer; None: each request may choose. *authorization*: the value that
    an ``Authorization`` header of the client's would have. *traceparent*: that of the upgrade, to whose
    trace the requests belong.
    """

    def __init__(
        self,
        gateway: Gateway,
        wire: SocketWire,
        client: Client,
        *,
        peer: str | None,
        socket_id: str,
        fixed_format: WireFormat | None,
        authorization: str | None,
        traceparent: str | None = None,
    ) -> None:
        self._traceparent = traceparent
        self._gateway = gateway
        self._wire = wire
        self._mailbox = wire.mailbox
        self._mailbox.open_hold = partial(gateway.bodies.budget.hold, body_owner(client.key.id, peer))
        self._client = client
        self._peer = peer
        self._socket_id = socket_id
        self._fixed_format = fixed_format
        self._authorization = authorization
        self._dialogue = Dialogue()
        self._requests = 0
        self._floor = trio.Lock()
        self._life = trio.CancelScope()
        self._end: Close | None = None
        self._after_answer: Close | None = None

    async def run(self, draining: Callable[[], Awaitable[None]]) -> Close | None:
        """Talk until it is over. How to end the socket; None where the client has left."""
        try:
            with self._life:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._stop_after, draining, RESTART)
                    nursery.start_soon(self._stop_after, self._client.revoked.wait, REVOKED)
                    await self._listen(nursery)
                    self._life.cancel()
        except* Exception:
            # A bug of ours, wherever it is: the log gets the traceback, the client a close frame.
            log.exception("socket_failed", request_id=self._socket_id)
            self._end = FAULT
        finally:
            self._mailbox.close()
        return self._end

    async def _listen(self, nursery: trio.Nursery) -> None:
        """Take the client's messages until it leaves."""
        scope = trio.CancelScope()
        while (message := await self._mailbox.get()) is not None:
            step = self._dialogue.receive(message, trio.current_time())
            self._mailbox.is_busy = self._dialogue.is_busy
            match step:
                case Act.ANSWER:
                    scope = trio.CancelScope()
                    nursery.start_soon(self._answer, message, scope)
                    continue  # it keeps its place in the ledger
                case Act.CANCEL:
                    scope.cancel()
                case Act.REFUSE:
                    await self._refuse()
                case Act.FAIL:
                    await self._fail_unread(message)
                case Act.IGNORE:
                    pass
                case Close() as end:
                    self._finish(end)
            message.release()

    async def _stop_after(self, happened: Callable[[], Awaitable[None]], end: Close) -> None:
        await happened()
        self._finish(self._dialogue.leave(end))

    def _finish(self, end: Close | None) -> None:
        """Let everything go; the close frame follows when nothing runs any more."""
        if end is not None:
            self._end = end
            self._life.cancel()

    @contextmanager
    def _reported(self) -> Iterator[RequestRecord]:
        """One request, which is counted and logged whatever way it ends."""
        self._requests += 1
        request_id = f"{self._socket_id}-{self._requests}"
        record = RequestRecord(
            self._client,
            request_id=request_id,
            accepted_at=trio.current_time(),
            span=self._gateway.tracer.begin("chat", {}, traceparent=self._traceparent),
        )
        try:
            yield record
        finally:
            label = self._gateway.catalogue.label(record.model)
            record.close(self._gateway.metrics, model_label=label)

    async def _refuse(self) -> None:
        """Turn a request away while another one's answer is running, which goes on."""
        with self._reported() as record:
            record.refuse(IN_PROGRESS.code)
            error = error_object(Failure(IN_PROGRESS, record.phase), record.request_id)
            await self._wire.send([_text("error", dumps({"error": error}))])

    async def _fail_unread(self, message: ClientMessage) -> None:
        """Answer a request that has not been kept with the error that says why."""
        with self._reported() as record:
            async with self._floor:
                error = _counted(record, message.error or INTERNAL_ERROR)
                record.refuse(error.code)
                await self._fail(None, error, record)

    async def _answer(self, message: ClientMessage, scope: trio.CancelScope) -> None:
        """Answer one request. *scope*: cancelled when the client does not want the answer any more."""
        chat = None
        # After its last frame an answer may take a moment to be cleared away: only then is its place free.
        with self._reported() as record, released(message):
            async with self._floor:
                try:
                    await record.charge.approach()
                    record.charge.arrive()
                    chat = await self._read(message)
                    record.note_request(chat)
                    await record.charge.weigh(chat)
                    await self._gateway.prepare(chat.model)
                    call = self._gateway.admit(chat, record, authorization=self._authorization)
                except RequestError as refused:
                    record.refuse(refused.error.code)
                    await self._fail(chat, refused.error, record)
                else:
                    with closing(call):
                        await self._stream(call, scope)

    async def _read(self, message: ClientMessage) -> ChatRequest:
        chat = await self._gateway.bodies.read(message.take(), parse=self._format(None).parse)
        identity = identify(self._client, self._peer, chat.digest, self._authorization)
        return replace(chat, hold=message.hold, identity=identity)

    async def _stream(self, call: Call, scope: trio.CancelScope) -> None:
        sink = self._sink(call.request, call.record)
        with scope:
            async with open_stream(call) as stream:
                await stream.deliver(sink)
        if not sink.is_over:
            call.record.cancel()
            sink.discard()
            error = error_for("cancelled", "The client took its request back.")
            sink.write([Failure(error, call.record.phase), Done()])
        await sink.flush()

    def _sink(self, chat: ChatRequest | None, record: RequestRecord) -> _FrameSink:
        encoder = make_encoder(self._format(chat), chat, request_id=record.request_id)
        return _FrameSink(self, encoder)

    def _format(self, chat: ChatRequest | None) -> WireFormat:
        asked = None if chat is None else chat.options.format
        return self._fixed_format or FORMATS[asked or self._gateway.config.server.stream_format]

    async def _fail(self, chat: ChatRequest | None, error: ApiError, record: RequestRecord) -> None:
        sink = self._sink(chat, record)
        sink.write([Failure(error, record.phase), Done()])
        await sink.flush()

    def finish_answer(self, *error_codes: str | None) -> None:
        """The end of an answer is about to be sent, after which the client may ask again."""
        self._after_answer = self._dialogue.finish(*error_codes)
        self._mailbox.is_busy = False

    async def send(self, texts: list[str]) -> None:
        """Send frames, and end the socket where the answer that they end asks for it."""
        await self._wire.send(texts)
        end, self._after_answer = self._after_answer, None
        self._finish(end)
        await trio.lowlevel.checkpoint_if_cancelled()


class _FrameSink(BatchSink[list[str]]):
    """Sink that writes the events of one answer as text frames of *conversation*'s socket."""

    def __init__(self, conversation: Conversation, encoder: Encoder) -> None:
        super().__init__()
        self._conversation = conversation
        self._encoder = encoder
        self.is_over = False
        """The last event was written."""

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self.is_over = isinstance(batch[-1], Done)

    def encode(self, batch: Batch) -> Iterator[list[str]]:
        for frames in frame_slices(self._encoder, batch):
            if frames and frames[-1] == DONE_FRAME:  # the client may ask again when it reads this
                codes = [event.error.code for event in batch if isinstance(event, Failure)]
                self._conversation.finish_answer(*codes)
            # Pings of the protocol do what SSE's comments do.
            yield [_text(event, data) for event, data in frames if event != ":"]

    def send_nowait(self, data: list[str]) -> list[str]:
        return data

    async def send(self, data: list[str]) -> None:
        await self._conversation.send(data)


@contextmanager
def released(message: ClientMessage) -> Iterator[None]:
    """Release *message* at the end, however that comes."""
    try:
        yield
    finally:
        message.release()


def _counted(record: RequestRecord, error: ApiError) -> ApiError:
    """The error of a message that was not kept, which counts as a request; or that there is none left."""
    try:
        record.charge.arrive()
    except RequestError as refused:
        return refused.error
    return error


def _text(event: str, data: str) -> str:
    """One SSE event as a message."""
    if data == "[DONE]":
        data = '"[DONE]"'
    return f'{{"event": "{event}", "data": {data}}}'
