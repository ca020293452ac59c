"""Requests to one model server, as bytes, with every fault named.

httpx is used for what it does well: requests, headers, TLS. How bytes travel is the business of
:mod:`.transport`; these two modules alone know httpx. Redirects, proxies from the environment and cookies are
off: a redirect would carry the key to another host, and a cookie of one client belongs to no other.
"""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx
import trio

from ..core.access import secrets_of
from ..core.breaker.retry_after import parse_retry_after, parse_retry_after_ms
from ..core.chunks import InbandError, describe_http_error
from ..core.content_coding import ContentCodingError, ContentDecoder
from ..core.faults import Fault, fault_of_error, fault_of_transport
from ..core.json_scan import JSONScanError, scan_slices
from ..core.model_list import MAX_LIST, MAX_VALUES, parse_model_ids
from ..version import __version__
from .bodies import Payload
from .transport import AnswerRefusedError, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    from ..core.config import UpstreamConfig

__all__ = ["Upstream", "UpstreamAnswer", "UpstreamFailure"]

# An error page is read no further than this: enough for any error object, nothing to fill memory with.
_MAX_ERROR_BODY = 64 * 1024
# Seconds that TLS connections may take to say goodbye.
_FAREWELL = 1.0


class UpstreamFailure(Exception):  # noqa: N818  (it is the failure of an upstream, not an error of ours)
    """An attempt failed; ``fault`` says what that means."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.error.message)
        self.fault = fault

    @classmethod
    def of(cls, code: str, message: str) -> UpstreamFailure:
        """A fault of the connection or of the stream's form."""
        return cls(fault_of_transport(code, message))

    def redacted(self, secrets: Sequence[str]) -> UpstreamFailure:
        """The same failure, its error without *secrets*."""
        return UpstreamFailure(self.fault.redacted(secrets))


class _Body:
    """The body of a response, decompressed a piece at a time.

    Raises:
        ContentCodingError: it is compressed in a way that is not read.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._decoder = ContentDecoder(response.headers.get("Content-Encoding", ""))
        # httpx promises an iterator only; it is a generator, and has to be closed.
        self._chunks = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
        self._pieces: Iterator[bytes] = iter(())

    async def receive(self) -> bytes:
        """The next bytes, at most 64 KiB; empty at the end. Other tasks run between any two pieces.

        Raises:
            UpstreamFailure: the connection or the framing is broken.
            ContentCodingError: the compression is.
        """
        if piece := next(self._pieces, b""):
            await trio.lowlevel.checkpoint()
            return piece
        while not piece:
            with _faults_named():
                data = await anext(self._chunks, b"")
            if not data:
                break
            self._pieces = self._decoder.pieces(data)
            piece = next(self._pieces, b"")
        return piece

    async def aclose(self) -> None:
        """Take nothing more of it."""
        await self._chunks.aclose()


class UpstreamAnswer:
    """An accepted request's answer, read as bytes."""

    def __init__(self, response: httpx.Response, body: _Body) -> None:
        self._body = body
        self.streamed = _media_type(response) != "application/json"
        """Server-sent events, or one JSON object (some servers ignore ``stream``)."""

    async def receive(self) -> bytes:
        """The next bytes of the body, as they come, at most 64 KiB; empty at its end.

        Raises:
            UpstreamFailure: the connection, the framing or the compression is broken.
        """
        with _faults_named():
            return await self._body.receive()


class Upstream:
    """One model server. ``key`` is the gateway's own key for it, if it has one."""

    def __init__(self, config: UpstreamConfig, key: str | None) -> None:
        self._made_of = _made_of(config, key)
        self._running = 0
        self._retired = False
        self._own_key = not config.pass_through_key
        self._secrets = (key,) if key else ()
        self._headers = {
            "User-Agent": f"trio-gateway/{__version__}",
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        }
        self._config = config
        self._client = self._open_client()

    def _open_client(self) -> httpx.AsyncClient:
        # Reading the authorities' certificates takes 25 ms, which plain HTTP has no use for.
        is_secure = self._config.url.startswith("https:")
        return httpx.AsyncClient(
            transport=Transport(httpx.create_ssl_context(trust_env=False) if is_secure else None),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Every other limit of time belongs to the caller's scopes.
            timeout=httpx.Timeout(None, connect=self._config.connect_timeout),
        )

    def serves(self, config: UpstreamConfig, key: str | None) -> bool:
        """Whether another one made of these would do just the same."""
        return self._made_of == _made_of(config, key)

    async def aclose(self) -> None:
        """Close the pooled connections, those in use too."""
        await self._client.aclose()

    async def retire(self) -> None:
        """Keep no connection open from now on, but those of requests that run."""
        self._retired = True
        if not self._running:
            await self.aclose()

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        if self._client.is_closed:  # retired, and there comes a stream that began before
            self._client = self._open_client()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if self._retired and not self._running:
                with trio.move_on_after(_FAREWELL, shield=True):
                    await self.aclose()

    @asynccontextmanager
    async def open_completion(
        self, body: bytes | Payload, *, authorization: str | None
    ) -> AsyncIterator[UpstreamAnswer]:
        """Post *body* and hand over the answer once its headers are accepted; a payload is dropped then.

        *authorization* is the client's own header value; it is sent only where the configuration says
        ``pass_through_key``.

        Raises:
            UpstreamFailure: no connection, an error status, or a body of a kind we cannot read.
        """
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._own_key:
            authorization = None
        if authorization is not None:
            headers["Authorization"] = authorization
        async with self._in_use():
            response = await self._send("POST", "/chat/completions", headers=headers, content=body)
            try:
                if isinstance(body, Payload):
                    body.drop()
                if not response.is_success:
                    raise UpstreamFailure(await self._refusal(response))
                received = _body(response)
                try:
                    yield UpstreamAnswer(response, received)
                finally:
                    await received.aclose()
            except UpstreamFailure as failure:  # it may quote the client's key, as a status or in the stream
                raise failure.redacted(secrets_of(authorization)) from failure
            finally:
                await response.aclose()

    def fault_in_stream(self, told: InbandError) -> Fault:
        """What an error event inside an answer means."""
        return fault_of_error(told, own_key=self._own_key, secrets=self._secrets)

    async def list_models(self) -> list[str]:
        """The ids of the models the upstream lists; none where its answer is no such list.

        Raises:
            UpstreamFailure: it did not answer, or refused, or the list is too large.
        """
        async with self._in_use():
            response = await self._send("GET", "/models", headers={"Accept": "application/json"})
            try:
                if not response.is_success:
                    raise UpstreamFailure(await self._refusal(response))
                with _faults_named():
                    body = await _read(_Body(response), MAX_LIST + 1)
            finally:
                await response.aclose()
        if len(body) > MAX_LIST or not await _has_few_values(body):
            raise UpstreamFailure.of("answer_too_large", "The upstream's list of models is too large.")
        return parse_model_ids(body)

    async def _send(
        self, method: str, path: str, *, headers: dict[str, str], content: bytes | Payload | None = None
    ) -> httpx.Response:
        every = {**self._headers, **headers}
        if isinstance(content, Payload):
            every["Content-Length"] = str(content.size)

        def request(extensions: dict[str, Any]) -> httpx.Request:
            body = _Pieces(content) if isinstance(content, Payload) else content
            return self._client.build_request(
                method, self._config.url + path, headers=every, content=body, extensions=extensions
            )

        connects = _Connects()
        try:
            with _faults_named():
                return await self._client.send(request({"trace": connects.trace}), stream=True)
        except UpstreamFailure:
            if connects.fresh:
                raise
        # A pooled connection that the server had closed while it lay idle says nothing about the server: ask
        # once more. The pool has dropped it.
        with _faults_named():
            return await self._client.send(request({"trace": _Connects().trace}), stream=True)

    async def _refusal(self, response: httpx.Response) -> Fault:
        """What an error status means. Where its body cannot be read, the status alone is judged."""
        try:
            body = await _read(_Body(response), _MAX_ERROR_BODY)
        except ContentCodingError:
            body = b""
        described = describe_http_error(response.status_code, body[:_MAX_ERROR_BODY])
        return fault_of_error(
            described, own_key=self._own_key, retry_after=_pause(response.headers), secrets=self._secrets
        )


def _made_of(config: UpstreamConfig, key: str | None) -> tuple[object, ...]:
    return config.url, key, config.pass_through_key, config.connect_timeout


class _Pieces:
    """Gives httpx a payload piece by piece: as one piece it would be copied and encrypted in one step."""

    def __init__(self, payload: Payload) -> None:
        self._pieces = iter(payload.pieces)

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None


class _Connects:
    """Whether a request opened a connection of its own, seen through httpcore's trace."""

    def __init__(self) -> None:
        self.fresh = False
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def trace(self, name: str, info: dict[str, Any]) -> None:
        match name:
            case "connection.connect_tcp.started":
                self.fresh = True
            case "connection.connect_tcp.complete":
                self._stream = info["return_value"]
            case "connection.start_tls.failed" if self._stream is not None:
                await self._stream.aclose()  # httpcore forgets it where the handshake was cancelled


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _body(response: httpx.Response) -> _Body:
    """The body of an accepted answer, once its headers promise something we can read.

    Raises:
        UpstreamFailure: they do not.
    """
    # A missing type is let pass: what is no event stream fails as one soon enough.
    if response.status_code == 204 or response.headers.get("Content-Length") == "0":
        raise UpstreamFailure.of("empty", "The upstream sent no body.")
    if _media_type(response) not in {"", "text/event-stream", "application/json"}:
        raise UpstreamFailure.of("bad_content_type", "The upstream sent neither events nor JSON.")
    with _faults_named():
        return _Body(response)


async def _read(body: _Body, limit: int) -> bytes:
    """The beginning of *body*: at least *limit* bytes, and little more, where there are so many.

    Raises:
        UpstreamFailure, ContentCodingError: as ``receive``.
    """
    read = bytearray()
    try:
        while len(read) < limit and (piece := await body.receive()):
            read += piece
    finally:
        await body.aclose()
    return bytes(read)


async def _has_few_values(body: bytes) -> bool:
    """Whether a list of models can be parsed in one go."""
    try:
        for _ in scan_slices(body, max_values=MAX_VALUES):
            await trio.lowlevel.checkpoint()
    except JSONScanError:
        return False
    return True


def _pause(headers: httpx.Headers) -> float | None:
    if (exact := headers.get("retry-after-ms")) is not None:
        return parse_retry_after_ms(exact)
    value = headers.get("Retry-After")
    return None if value is None else parse_retry_after(value, time.time())


@contextmanager
def _faults_named() -> Iterator[None]:
    """Give httpcore's exceptions the gateway's names. Their own texts stay inside: they may name hosts."""
    try:
        yield
    except httpcore.ConnectTimeout as error:
        raise UpstreamFailure.of(
            "upstream_connect_timeout", "The upstream could not be reached in time."
        ) from error
    except httpcore.ConnectError as error:
        if _caused_by(error, ssl.SSLError):
            raise UpstreamFailure.of("upstream_tls", "No secure connection to the upstream.") from error
        raise UpstreamFailure.of("upstream_unreachable", "The upstream could not be reached.") from error
    except AnswerRefusedError as error:
        raise UpstreamFailure.of("upstream_protocol", str(error)) from error
    except httpcore.RemoteProtocolError as error:
        raise _protocol_failure(str(error)) from error
    except httpcore.NetworkError as error:
        raise UpstreamFailure.of("upstream_closed", "The upstream closed the connection.") from error
    except ContentCodingError as error:
        raise UpstreamFailure.of("bad_content_encoding", str(error)) from error


def _protocol_failure(text: str) -> UpstreamFailure:
    # httpcore and h11 tell these apart by their texts alone.
    if text.startswith("Server disconnected"):
        return UpstreamFailure.of("upstream_closed", "The upstream closed the connection without an answer.")
    if text.startswith("peer closed connection"):
        return UpstreamFailure.of("truncated", "The upstream's answer ended before it was complete.")
    return UpstreamFailure.of("upstream_protocol", "The upstream broke the rules of HTTP.")


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None
