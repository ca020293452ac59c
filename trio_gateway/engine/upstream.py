"""The only module that knows httpx: requests to one model server, as bytes, with every fault named.

httpx is used for what it does well (TLS, pooling, HTTP/1.1). Its pool limit is off, because httpcore
loses a slot whenever a request is cancelled while it waits for one (httpcore #1093); the backend counts
instead. Redirects, proxies from the environment and cookies are off: a redirect would carry the key to
another host, and one client's cookies are nobody else's business.
"""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

import httpx
import trio

from ..core.access import secrets_of
from ..core.breaker.retry_after import parse_retry_after, parse_retry_after_ms
from ..core.chunks import InbandError, describe_http_error
from ..core.faults import Fault, fault_of_error, fault_of_transport
from ..core.model_list import parse_model_ids
from ..version import __version__
from .bodies import Payload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    import httpcore

    from ..core.config import UpstreamConfig

__all__ = ["Upstream", "UpstreamAnswer", "UpstreamFailure"]

# Larger than any list of models seen (a router with 3,000 entries sends 1.5 MB).
_MAX_MODEL_LIST = 4 * 1024 * 1024
# An error page is read no further than this: enough for any error object, nothing to fill memory with.
_MAX_ERROR_BODY = 64 * 1024
# Bytes and fields of an answer's head: many times what any proxy chain adds.
_MAX_HEAD = 64 * 1024
_MAX_FIELDS = 1000
# Decompressed bytes per byte received. Real JSON stays under 20; a bomb is at 1000.
_MAX_INFLATION = 100
# Bytes of decompressed data that are always allowed, so that a short, repetitive answer is no bomb.
_INFLATION_FLOOR = 1024 * 1024
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


class UpstreamAnswer:
    """An accepted request's answer, read as bytes."""

    def __init__(self, response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
        self._response = response
        self._chunks = chunks
        self._received = 0
        self.streamed = _media_type(response) != "application/json"
        """Server-sent events, or one JSON object (some servers ignore ``stream``)."""

    async def receive(self) -> bytes:
        """The next bytes of the body, as they come; empty at its end.

        Raises:
            UpstreamFailure: the connection or the body's framing broke.
        """
        with _faults_named():
            chunk = await anext(self._chunks, b"")
        self._received += len(chunk)
        if self._received > max(_INFLATION_FLOOR, _MAX_INFLATION * self._response.num_bytes_downloaded):
            raise UpstreamFailure.of("bad_content_encoding", "The upstream's body inflates too far.")
        return chunk


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
        return httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            # Reading the authorities' certificates takes 25 ms, which plain HTTP has no use for.
            verify=self._config.url.startswith("https:"),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
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
                _check_head(response)
                if not response.is_success:
                    raise UpstreamFailure(await self._refusal(response))
                chunks = _body(response)
                try:
                    yield UpstreamAnswer(response, chunks)
                finally:
                    await chunks.aclose()
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
            UpstreamFailure: it did not answer, or refused.
        """
        async with self._in_use():
            response = await self._send("GET", "/models", headers={"Accept": "application/json"})
            try:
                if not response.is_success:
                    raise UpstreamFailure(await self._refusal(response))
                return parse_model_ids(await _read(response, _MAX_MODEL_LIST))
            finally:
                await response.aclose()

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
        told = describe_http_error(response.status_code, await _read(response, _MAX_ERROR_BODY))
        return fault_of_error(
            told, own_key=self._own_key, retry_after=_pause(response.headers), secrets=self._secrets
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


def _check_head(response: httpx.Response) -> None:
    """Refuse what h11 lets pass: a head without measure, and a body framed in two ways.

    Two readers of one connection may disagree where such a body ends, and the rest would be taken for the
    answer to somebody else's request.

    Raises:
        UpstreamFailure: it is refused.
    """
    fields = response.headers.raw
    framed_twice = "Content-Length" in response.headers and "Transfer-Encoding" in response.headers
    size = sum(len(name) + len(value) + 4 for name, value in fields)  # 4: the colon, a space, the line's end
    if framed_twice or size > _MAX_HEAD or len(fields) > _MAX_FIELDS:
        raise UpstreamFailure.of("upstream_protocol", "The head of the upstream's answer is not acceptable.")


def _body(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The bytes of an accepted answer, once its headers promise something we can read.

    Raises:
        UpstreamFailure: they do not.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # A missing type is let pass: what is no event stream fails as one soon enough.
    if response.status_code == 204 or response.headers.get("Content-Length") == "0":
        raise UpstreamFailure.of("empty", "The upstream sent no body.")
    if _media_type(response) not in {"", "text/event-stream", "application/json"}:
        raise UpstreamFailure.of("bad_content_type", "The upstream sent neither events nor JSON.")
    match encoding:
        case "identity" | "":
            chunks = response.aiter_raw()
        case "gzip" | "deflate":
            chunks = response.aiter_bytes()
        case _:
            message = "The upstream used a content encoding that was not asked for."
            raise UpstreamFailure.of("bad_content_encoding", message)
    return cast("AsyncGenerator[bytes, None]", chunks)  # httpx promises an iterator; we need to close it


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body's first *limit* bytes."""
    body = bytearray()
    chunks = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
    try:
        with _faults_named():
            while len(body) < limit and (chunk := await anext(chunks, b"")):
                body += chunk
    finally:
        await chunks.aclose()
    return bytes(body[:limit])


def _pause(headers: httpx.Headers) -> float | None:
    if (exact := headers.get("retry-after-ms")) is not None:
        return parse_retry_after_ms(exact)
    value = headers.get("Retry-After")
    return None if value is None else parse_retry_after(value, time.time())


@contextmanager
def _faults_named() -> Iterator[None]:
    """Give httpx's exceptions the gateway's names. Their own texts stay inside: they may name hosts."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise UpstreamFailure.of(
            "upstream_connect_timeout", "The upstream could not be reached in time."
        ) from error
    except httpx.ConnectError as error:
        if _caused_by(error, ssl.SSLError):
            raise UpstreamFailure.of("upstream_tls", "No secure connection to the upstream.") from error
        raise UpstreamFailure.of("upstream_unreachable", "The upstream could not be reached.") from error
    except httpx.DecodingError as error:
        raise UpstreamFailure.of(
            "bad_content_encoding", "The upstream's body cannot be decompressed."
        ) from error
    except httpx.RemoteProtocolError as error:
        raise _protocol_failure(str(error)) from error
    except httpx.NetworkError as error:
        raise UpstreamFailure.of("upstream_closed", "The upstream closed the connection.") from error


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
