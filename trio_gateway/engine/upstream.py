"""Requests to one model server, as bytes, with every fault named.

How bytes travel is the task of :mod:`.transport`. Redirects are not followed and cookies not kept: a
redirect would carry the key to another host, and a cookie of one client belongs to no other.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import trio
from msgspec.structs import replace

from ..core.access.shown_key import secrets_of
from ..core.breaker.retry_after import parse_retry_after, parse_retry_after_ms
from ..core.json.scan import JSONScanError, scan_slices
from ..core.upstream_api.chunks import describe_http_error
from ..core.upstream_api.error_page import asks_for_tls, page_kind
from ..core.upstream_api.faults import Fault, fault_of_error, fault_of_page, fault_of_transport
from ..core.upstream_api.model_list import MAX_LIST, MAX_VALUES, parse_model_ids
from ..version import __version__
from .transport import Http1Client, Origin, TransportFaultError, make_ssl_context
from .transport.proxied import ProxiedClient
from .transport_wording import fault_of
from .upstream_answer import UpstreamAnswer, UpstreamFailure, accepted

if TYPE_CHECKING:
    from types import TracebackType

    from ..core.config import UpstreamConfig
    from ..core.upstream_api.chunks import InbandError
    from ..core.upstream_api.http_framing import Fields
    from .bodies import Payload
    from .transport import Response
    from .transport.proxied import ProxiedResponse

__all__ = ["OpenCompletion", "Upstream"]

# An error page is read no further than this: enough for any error object, nothing to fill memory with.
_MAX_ERROR_BODY: Final = 64 * 1024
# Names of a query's fields whose values are keys: an error may quote the address.
_SECRET_NAME: Final = re.compile(r"key|token|secret|sig|code|pass", re.IGNORECASE)
# Statuses by which web servers refuse a path, or a POST to it.
_PATH_REFUSED: Final = frozenset({404, 405})


class Upstream:
    """One model server. ``key`` is the gateway's own key for it, if it has one."""

    def __init__(self, config: UpstreamConfig, key: str | None) -> None:
        self._made_of = _made_of(config, key)
        self._config = config
        self._running = 0
        self._retired = False
        self._own_key = not config.pass_through_key
        url = urlsplit(config.url)
        in_query = (value for name, value in parse_qsl(url.query) if _SECRET_NAME.search(name))
        self._secrets = tuple(filter(None, (key, *in_query)))
        self._origin = Origin(
            host=(url.hostname or "").encode("idna").decode() if url.hostname else "",
            port=url.port or (443 if url.scheme == "https" else 80),
            secure=url.scheme == "https",
        )
        self._path = url.path.rstrip("/").encode()
        self._query = f"?{url.query}".encode() if url.query else b""
        self._fields: Fields = [
            (b"Host", self._origin.authority),
            (b"User-Agent", f"trio-gateway/{__version__}".encode()),
            (b"Accept-Encoding", b"identity"),
            *([_key_field(config.api_key_header, key)] if key else []),
        ]
        self._client = self._open_client()

    def _open_client(self) -> Http1Client | ProxiedClient:
        config = self._config
        # Reading the authorities' certificates takes 25 ms, which plain HTTP has no use for.
        ca_file = Path(config.ca_file) if config.ca_file else None
        context = make_ssl_context(ca_file) if self._origin.secure else None
        if config.proxy:
            return ProxiedClient(self._origin, config.proxy, context, config.connect_timeout)
        return Http1Client(self._origin, ssl_context=context, connect_timeout=config.connect_timeout)

    def serves(self, config: UpstreamConfig, key: str | None) -> bool:
        """Whether another one made of these would do just the same."""
        return self._made_of == _made_of(config, key)

    async def aclose(self) -> None:
        """Close the pooled connections, those in use too."""
        await self._client.aclose()

    async def retire(self) -> None:
        """Keep no connection open from now on, but those of requests that run."""
        self._client.retire()

    def open_completion(
        self,
        body: Payload,
        *,
        authorization: str | None,
        streamed: bool = True,
        traceparent: str | None = None,
    ) -> OpenCompletion:
        """Post *body* and hand over the answer once its headers are accepted; its bytes are dropped then.

        *authorization* is the client's own header value; it is sent only where the configuration says
        ``pass_through_key``. *streamed*: *body* asks for a stream. *traceparent*: of the span that this call
        has, where requests are traced.

        Entering it raises:
            UpstreamFailure: no connection, an error status, or a body of a kind that cannot be read.
        """
        accept = b"text/event-stream" if streamed else b"application/json"
        fields = [*self._fields, (b"Content-Type", b"application/json"), (b"Accept", accept)]
        if self._own_key:
            authorization = None
        if authorization is not None:
            fields.append((b"Authorization", authorization.encode("latin-1")))
        if traceparent is not None:
            fields.append((b"traceparent", traceparent.encode()))
        return OpenCompletion(self, body, fields, (*self._secrets, *secrets_of(authorization)))

    async def post_completion(
        self, fields: Fields, body: Payload
    ) -> tuple[Response | ProxiedResponse, UpstreamAnswer]:
        """Post *body*: the response, which the caller closes, and its body.

        Raises:
            UpstreamFailure: as :meth:`open_completion`; it may quote a key.
        """
        response = await self._send(b"POST", b"/chat/completions", fields, tuple(body.pieces))
        body.drop()
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, "POST …/chat/completions")
            return response, accepted(response)
        except BaseException:
            await response.aclose()
            raise

    def fault_in_stream(self, error: InbandError) -> Fault:
        """What an error event inside an answer means."""
        return fault_of_error(error, own_key=self._own_key, secrets=self._secrets)

    async def list_models(self) -> list[str]:
        """The ids of the models the upstream lists; none where its answer is no such list.

        Raises:
            UpstreamFailure: it did not answer, or refused, or the list is too large.
        """
        fields = [*self._fields, (b"Accept", b"application/json")]
        response = await self._send(b"GET", b"/models", fields)
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, "GET …/models")
            body = await UpstreamAnswer(response).read(MAX_LIST + 1)
        finally:
            await response.aclose()
        if len(body) > MAX_LIST or not await _has_few_values(body):
            raise UpstreamFailure.of(
                "answer_too_large", "The upstream sent a list of models that is too large."
            )
        return parse_model_ids(body)

    async def _send(
        self, method: bytes, path: bytes, fields: Fields, pieces: tuple[bytes, ...] = ()
    ) -> Response | ProxiedResponse:
        try:
            return await self._client.send(method, self._path + path + self._query, fields, pieces)
        except TransportFaultError as error:
            raise _unanswered(error) from error

    async def _refusal(self, response: Response | ProxiedResponse, request: str) -> UpstreamFailure:
        """What an error status means as an answer to *request*, its method and path.

        Where its body cannot be read, the status alone is judged.
        """
        retry_after = _retry_after(dict(response.fields))
        try:
            body = await UpstreamAnswer(response).read(_MAX_ERROR_BODY)
        except UpstreamFailure:  # the status alone says enough
            body = b""
        described = describe_http_error(response.status, body[:_MAX_ERROR_BODY])
        return UpstreamFailure(
            self._judged(response.status, body, described, retry_after, request), described
        )

    def _judged(
        self, status: int, body: bytes, described: InbandError, retry_after: float | None, request: str
    ) -> Fault:
        if status in _PATH_REFUSED and (kind := page_kind(body)):
            return fault_of_page(status, kind, request)
        if status == 400 and not self._origin.secure and asks_for_tls(body):
            return fault_of_transport(
                "upstream_tls", "The upstream speaks TLS at this port.", hint="Write https:// in {url}."
            )
        return fault_of_error(
            described, own_key=self._own_key, retry_after=retry_after, secrets=self._secrets
        )


class OpenCompletion:
    """Context of one request: sends it when entered, closes its response when left.

    Failures that pass through it lose what they quote of *secrets*, as a status or in the stream.
    """

    __slots__ = ("_body", "_fields", "_response", "_secrets", "_upstream")

    def __init__(self, upstream: Upstream, body: Payload, fields: Fields, secrets: tuple[str, ...]) -> None:
        self._upstream = upstream
        self._body = body
        self._fields = fields
        self._secrets = secrets
        self._response: Response | ProxiedResponse  # set by entering

    async def __aenter__(self) -> UpstreamAnswer:
        try:
            self._response, answer = await self._upstream.post_completion(self._fields, self._body)
        except UpstreamFailure as failure:
            raise failure.redacted(self._secrets) from failure
        self._fields = []
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._response.aclose()  # noqa: ASYNC102  (of a connection of ours it does not wait)
        if isinstance(error, UpstreamFailure):
            raise error.redacted(self._secrets) from error


def _key_field(header: str, key: str) -> tuple[bytes, bytes]:
    bears_scheme = header.lower() == "authorization"
    return header.encode(), (f"Bearer {key}" if bears_scheme else key).encode()


def _made_of(config: UpstreamConfig, key: str | None) -> tuple[object, ...]:
    key_as_sent = (key, config.api_key_header, config.pass_through_key)
    return (config.url, *key_as_sent, config.connect_timeout, config.ca_file, config.proxy)


async def _has_few_values(body: bytes) -> bool:
    """Whether a list of models can be parsed in one go."""
    try:
        for _ in scan_slices(body, max_values=MAX_VALUES):
            await trio.lowlevel.checkpoint()
    except JSONScanError:
        return False
    return True


def _retry_after(head: dict[bytes, bytes]) -> float | None:
    if (exact := head.get(b"retry-after-ms")) is not None:
        return parse_retry_after_ms(exact.decode("latin-1"))
    value = head.get(b"retry-after")
    return None if value is None else parse_retry_after(value.decode("latin-1"), time.time())


def _unanswered(error: TransportFaultError) -> UpstreamFailure:
    """The failure of a request; a connection lost before the first byte of an answer is due to no request."""
    fault = fault_of(error.fault)
    unanswered = fault.unanswered or fault.error.code == "upstream_closed"
    return UpstreamFailure(replace(fault, unanswered=unanswered))
