"""Chat completions: a request is read and admitted; then its answer is streamed or gathered.

The wire format decides when the status line of a stream leaves: at once, where the first event is the
gateway's own, or with the upstream's first event, so that a request that fails before it gets the status of
its failure.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, cast

import trio
from msgspec.structs import replace
from quart import Request, Response, g, request
from werkzeug.exceptions import HTTPException

from ..core.access.shown_key import body_owner
from ..core.client_api import FORMATS, ChunkHead, Encoder, WireFormat
from ..core.client_api.request import ChatRequest, FormatName
from ..core.errors import RequestError, refusal
from ..engine.request_record import RequestRecord
from ..engine.stream import start_stream
from .error_responses import code_of, error_response
from .identity import identify
from .media_type import require_json
from .sse_body import SSEBody, SSESink
from .transport.asgi import BODY, CLEANUP, CONTEXT, NURSERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.datastructures import Headers

    from ..core.client_api.completion import CompletionBuilder
    from ..engine.call import Call
    from ..engine.gateway import Gateway
    from ..engine.stream import EventStream
    from .transport.incoming import IncomingBody

__all__ = ["answer_chat", "header_format", "make_encoder"]

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would collect the stream
}


async def answer_chat(
    gateway: Gateway, request: Request, *, path_format: WireFormat | None = None
) -> Response:
    """Answer one chat request; whatever way it ends, it is counted and logged once.

    *path_format*: the format that the request's path stands for, if it does for one. The format it comes to
    is left in ``g.format``, for the header that every answer bears.

    Raises:
        RequestError, HTTPException: the request is refused.
    """
    record = RequestRecord(
        g.client,
        request_id=g.request_id,
        accepted_at=trio.current_time(),
        span=gateway.tracer.begin("chat", {}, traceparent=request.headers.get("traceparent")),
    )
    # Done when the request is over, even if the client leaves before its answer has begun.
    cleanup = request.scope.setdefault(CLEANUP, [])  # type: ignore[typeddict-item]
    cleanup.append(lambda: record.close(gateway.metrics, model_label=gateway.catalogue.label(record.model)))
    g.format = path_format or FORMATS[gateway.config.server.stream_format]
    try:
        await record.charge.approach()
        record.charge.arrive()
        chat = await _read(gateway, request, path_format)
        record.note_request(chat)
        await record.charge.weigh(chat)
        await gateway.prepare(chat.model)
        streamed = _wants_stream(chat, request)
        authorization = request.headers.get("Authorization")
        call = gateway.admit(chat, record, authorization=authorization, buffered=not streamed)
    except RequestError as error:
        record.refuse(error.error.code)
        raise
    except HTTPException as error:
        record.refuse(code_of(error))
        raise
    cleanup.append(call.close)
    scope = cast("dict[str, Any]", request.scope)
    events: EventStream = scope[CONTEXT].run(start_stream, call, scope[NURSERY])
    if streamed and g.format.early_status:
        response = _stream_response(events, call)
    else:
        response = await (_begun(events, call) if streamed else _buffered(events, call))
        response.headers["X-Gateway-Attempts"] = str(record.attempts)
    if not streamed:
        response.headers["Server-Timing"] = _server_timing(record)
    return response


def _server_timing(record: RequestRecord) -> str:
    """Where the time of a whole answer went, as browsers' tools show it: milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in record.timing().items())


async def _begun(events: EventStream, call: Call) -> Response:
    """A stream once its upstream has begun to answer, or the error it failed with before."""
    failure = await events.opened()
    if failure is not None:
        return error_response(failure.error)
    return _stream_response(events, call, ping_first=True)


async def _buffered(events: EventStream, call: Call) -> Response:
    builder = g.format.whole(_head(call.request), show_reasoning=call.request.options.shows_reasoning)
    await events.deliver(_BufferSink(builder))
    if builder.failure is not None:
        return error_response(builder.failure.error)
    parts: list[bytes] = []
    for part in builder.parts():
        parts.append(part.encode("utf-8", "replace"))
        await trio.lowlevel.checkpoint()  # a whole answer may be large, and each part takes its time
    return Response(b"".join(parts), content_type="application/json")


class _BufferSink:
    """Sink that gathers the whole answer."""

    def __init__(self, builder: CompletionBuilder) -> None:
        self.write = builder.add

    def flush_nowait(self) -> bool:
        """Nothing is sent yet."""
        return True

    async def flush(self) -> None:
        """Nothing is sent yet."""


def _stream_response(events: EventStream, call: Call, *, ping_first: bool = False) -> Response:
    encoder = make_encoder(g.format, call.request, request_id=g.request_id)
    writer = cast("dict[str, Any]", request.scope)[BODY]
    sink = SSESink(encoder, writer)
    return Response(SSEBody(events, sink, ping_first=ping_first), headers=_STREAM_HEADERS)


def make_encoder(wire_format: WireFormat, chat: ChatRequest | None, *, request_id: str) -> Encoder:
    """What writes the answer to *chat*; where that is None, to a request that could not be read."""
    chat = chat or ChatRequest(model="default", messages=[], body={})
    return wire_format.stream(
        _head(chat),
        request_id=request_id,
        include_usage=chat.include_usage,
        show_reasoning=chat.options.shows_reasoning,
    )


def _head(chat: ChatRequest) -> ChunkHead:
    return ChunkHead(id=f"chatcmpl-{secrets.token_hex(12)}", created=int(time.time()), model=chat.model)


async def _read(gateway: Gateway, request: Request, path_format: WireFormat | None) -> ChatRequest:
    require_json(request)
    asked = header_format(request.headers)
    chosen = path_format or asked
    if chosen is not None:
        g.format = chosen
    chat = await _read_body(gateway, request)
    if chosen is None and chat.options.format is not None:
        g.format = FORMATS[chat.options.format]
    return chat


async def _read_body(gateway: Gateway, request: Request) -> ChatRequest:
    body = cast("IncomingBody", request.body)
    hold = gateway.bodies.budget.hold(_owner(request), body.announced)
    cast("dict[str, list[Callable[[], object]]]", request.scope)[CLEANUP].append(hold.release)
    chat = await gateway.bodies.read(await body.read(hold), parse=g.format.parse)
    identity = identify(g.client, _peer(request), chat.digest, request.headers.get("Authorization"))
    return replace(chat, hold=hold, identity=identity)


def _owner(request: Request) -> str | None:
    return body_owner(g.client.key.id, _peer(request))


def _peer(request: Request) -> str | None:
    peer = request.scope.get("client")
    return None if peer is None else peer[0]


def header_format(headers: Headers) -> WireFormat | None:
    """The format that the request's header names, if it has one.

    Raises:
        RequestError: there is no such format.
    """
    asked = headers.get("X-Stream-Format")
    if asked is None:
        return None
    if asked not in FORMATS:
        raise refusal("X-Stream-Format", f"one of {', '.join(FORMATS)}", asked)
    return FORMATS[cast("FormatName", asked)]


def _wants_stream(chat: ChatRequest, request: Request) -> bool:
    if chat.stream is not None:
        return chat.stream
    accept = request.headers.get("Accept", "").strip().lower()
    return bool(g.format.streams_unasked) and accept != "application/json"
