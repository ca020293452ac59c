"""Wording of transport faults: code, cause and what to do next."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ..core.upstream_api.faults import NAMELESS, Fault, fault_of_transport
from .transport import TransportFault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fault_of"]

_LOG: Final = "Its log may tell why."
_LOG_OR_TLS: Final = f"{_LOG} If it speaks TLS, write https:// in {{url}}."


class _Words(NamedTuple):
    code: str
    did: str
    """The rest of a sentence that begins with the upstream."""
    cause: str = ""
    """In a few words; empty: as usual for the code."""
    hint: str = ""


_WORDS: Final[Mapping[TransportFault, _Words]] = MappingProxyType(
    {
        TransportFault.CONNECT_TIMEOUT: _Words(
            "upstream_connect_timeout",
            "could not be reached in time",
            hint="Is {url} right, and does no firewall stand between? {table}.connect_timeout sets the time.",
        ),
        TransportFault.UNKNOWN_HOST: _Words(
            "upstream_unreachable",
            "could not be reached: there is no such host",
            "no such host",
            "Check {url}.",
        ),
        TransportFault.REFUSED: _Words(
            "upstream_unreachable",
            "refused the connection",
            "connection refused",
            "Is the model server running, at the port of {url}? To try without one: trio-gateway mock"
            " (in a checkout: ./run mock).",
        ),
        TransportFault.UNREACHABLE: _Words(
            "upstream_unreachable",
            "could not be reached",
            hint="Check {url}, the network and {table}.proxy, if it is set.",
        ),
        TransportFault.TLS_NOT_SPOKEN: _Words(
            "upstream_tls",
            "does not speak TLS at this port",
            "no TLS at this port",
            "If it speaks plain HTTP, write http:// in {url}.",
        ),
        TransportFault.TLS_EXPIRED: _Words(
            "upstream_tls",
            "shows a certificate that is out of date",
            "certificate out of date",
            "Renew it there, and check the clocks of both machines.",
        ),
        TransportFault.TLS_WRONG_HOST: _Words(
            "upstream_tls",
            "shows a certificate for another host",
            "certificate for another host",
            "Write a name that the certificate holds in {url}.",
        ),
        TransportFault.TLS_UNTRUSTED: _Words(
            "upstream_tls",
            "shows a certificate that is not trusted (self-signed, or of an unknown CA)",
            "certificate not trusted",
            "Name the file of its CA: {table}.ca_file, or SSL_CERT_FILE.",
        ),
        TransportFault.TLS_FAILED: _Words(
            "upstream_tls",
            "did not agree on a secure connection",
            hint="Is the port of {url} the one for HTTPS? Its log may tell more.",
        ),
        TransportFault.WRITE: _Words("upstream_closed", "closed the connection", hint=_LOG),
        TransportFault.RESET: _Words("upstream_closed", "closed the connection", hint=_LOG_OR_TLS),
        TransportFault.DISCONNECTED: _Words(
            "upstream_closed", "closed the connection without an answer", hint=_LOG_OR_TLS
        ),
        TransportFault.INCOMPLETE: _Words("truncated", "ended its answer before it was complete", hint=_LOG),
        TransportFault.VIOLATION: _Words(
            "upstream_protocol",
            "broke the rules of HTTP",
            "an answer that is not HTTP",
            "Is there an HTTP server at {url}? If it speaks TLS, write https:// there.",
        ),
    }
)


def fault_of(failure: TransportFault) -> Fault:
    """What *failure* means for the client, the breaker and another try."""
    words = _WORDS[failure]
    message = f"{NAMELESS}{words.did}."
    return fault_of_transport(words.code, message, cause=words.cause, hint=words.hint)
