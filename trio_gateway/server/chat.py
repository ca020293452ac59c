"""``POST /v1/chat/completions``: a request is read and admitted; then its answer is streamed or gathered."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import trio
from quart import Request, Response
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from ..core.chat import ChatRequest, parse_chat_request
from ..core.completion import CompletionBuilder
from ..core.encoder import ChunkHead, PhasesEncoder
from ..core.errors import RequestError, refusal
from ..core.strict_json import dumps
from ..engine.report import Report
from .asgi import CLEANUP
from .errors import error_response
from .sse_body import SSEBody

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..engine.gateway import Gateway
    from ..engine.stream import EventStream

__all__ = ["answer_chat"]

_FORMAT = "phases"
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would collect the stream
}


async def answer_chat(gateway: Gateway, request: Request, request_id: str) -> Response:
    """Answer one chat request; whatever way it ends, it is counted and logged once.

    Raises:
        RequestError, HTTPException: the request is refused.
    """
    report = Report(request_id=request_id, accepted_at=trio.current_time())
    # Done when the request is over, even if the client leaves before its answer has begun.
    cleanup = request.scope.setdefault(CLEANUP, [])  # type: ignore[typeddict-item]
    cleanup.append(lambda: report.close(gateway.metrics, model_label=gateway.catalogue.label(report.model)))
    try:
        chat = await _read(request)
        report.model = chat.model
        streamed = _wants_stream(chat, request)
        admission = gateway.admit(chat)
    except RequestError as error:
        report.refuse(error.error.code)
        raise
    except HTTPException as error:
        report.refuse(_code(error))
        raise
    cleanup.append(admission.close)
    head = ChunkHead(id=f"chatcmpl-{secrets.token_hex(12)}", created=int(time.time()), model=chat.model)
    stream = gateway.open_stream(
        chat,
        admission,
        authorization=request.headers.get("Authorization"),
        report=report,
        gathered=not streamed,
    )
    shown = chat.options.shows_reasoning
    if streamed:
        encoder = PhasesEncoder(
            head, request_id=request_id, include_usage=chat.include_usage, show_reasoning=shown
        )
        response = Response(SSEBody(stream, encoder), headers=_STREAM_HEADERS)
    else:
        response = await _gathered(stream, CompletionBuilder(head, show_reasoning=shown))
        response.headers["X-Gateway-Attempts"] = str(report.attempts)
    response.timeout = None  # quart would cut every answer at 60 s; the gateway has deadlines of its own
    response.headers["X-Stream-Format"] = _FORMAT
    return response


async def _gathered(stream: AbstractAsyncContextManager[EventStream], builder: CompletionBuilder) -> Response:
    async with stream as batches:
        async for batch in batches:
            builder.add(batch)
    if builder.failure is not None:
        return error_response(builder.failure.error)
    return Response(dumps(builder.completion()), content_type="application/json")


async def _read(request: Request) -> ChatRequest:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity" or not _is_json(
        request.mimetype
    ):
        # A web page may post a form, or plain text, to any address: only JSON needs the browser's consent.
        raise UnsupportedMediaType
    asked = request.headers.get("X-Stream-Format", _FORMAT)
    if asked != _FORMAT:
        raise refusal("X-Stream-Format", _FORMAT, asked)
    chat = parse_chat_request(await request.get_data(as_text=False))
    if chat.options.format not in {None, _FORMAT}:
        raise refusal("gateway.format", _FORMAT, chat.options.format)
    return chat


def _is_json(mimetype: str) -> bool:
    return mimetype == "application/json" or mimetype.endswith("+json")


def _wants_stream(chat: ChatRequest, request: Request) -> bool:
    if chat.stream is not None:
        return chat.stream
    return request.headers.get("Accept", "").strip().lower() != "application/json"


def _code(error: HTTPException) -> str:
    return error.name.lower().replace(" ", "_")
