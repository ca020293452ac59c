"""Client of one origin behind an HTTP proxy: httpx's own transport under this package's interface.

Its pool takes longer the more connections it has, and it is used where the configuration names a proxy
alone.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from .failures import (
    ConnectFaultError,
    ConnectTimeoutError,
    PeerProtocolError,
    ReadFaultError,
    TransportFault,
    tls_fault,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from ...core.upstream_api.http_framing import Fields
    from .origin import Origin

__all__ = ["ProxiedClient", "ProxiedResponse"]


class ProxiedResponse:
    """A response whose body is read by one task, as :class:`.Response`."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks: AsyncGenerator[bytes, None] = response.aiter_raw()  # type: ignore[assignment]
        self.status = response.status_code
        self.fields: Fields = [(name.lower(), value) for name, value in response.headers.raw]

    def drop_fields(self) -> None:
        """Forget the fields of the head."""
        self.fields = []

    async def receive(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        with _named():
            return await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Close the connection if the body has not been read to its end."""
        await self._chunks.aclose()
        await self._response.aclose()


class ProxiedClient:
    """Requests to *origin* through an HTTP *proxy* (CONNECT for TLS)."""

    def __init__(
        self, origin: Origin, proxy: str, context: ssl.SSLContext | None, connect_timeout: float
    ) -> None:
        scheme = "https" if origin.secure else "http"
        self._base = f"{scheme}://{origin.authority.decode()}"
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                proxy=proxy,
                verify=context or False,
                # T11: a pool with a limit loses places when requests are cancelled; the backend counts.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            ),
            timeout=httpx.Timeout(None, connect=connect_timeout),
            follow_redirects=False,
            trust_env=False,
        )

    async def send(
        self, method: bytes, target: bytes, fields: Fields, pieces: tuple[bytes, ...] = ()
    ) -> ProxiedResponse:
        """Send a request and return the response once its head has come. The caller closes it.

        Raises:
            TransportFaultError: there is no response, or one that breaks the rules.
        """
        url = self._base + target.decode()
        request = self._client.build_request(
            method.decode(), url, headers=list(fields), content=b"".join(pieces)
        )
        with _named():
            return ProxiedResponse(await self._client.send(request, stream=True))

    def retire(self) -> None:
        """Idle connections close by themselves after httpx's keep-alive time."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


@contextmanager
def _named() -> Iterator[None]:
    """Give httpx's exceptions this package's names."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ConnectTimeoutError(TransportFault.CONNECT_TIMEOUT) from error
    except httpx.ProxyError as error:
        raise ConnectFaultError(TransportFault.UNREACHABLE) from error
    except httpx.ConnectError as error:
        cause = _cause(error)
        raise ConnectFaultError(tls_fault(cause) if cause else TransportFault.UNREACHABLE) from error
    except httpx.RemoteProtocolError as error:
        for fault in (TransportFault.DISCONNECTED, TransportFault.INCOMPLETE):
            if str(error).startswith(fault.value[:20]):
                raise PeerProtocolError(fault) from error
        raise PeerProtocolError(TransportFault.VIOLATION) from error
    except httpx.NetworkError as error:
        raise ReadFaultError(TransportFault.RESET) from error


def _cause(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
