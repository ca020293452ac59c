"""Private names: lists what is overridden or patched in libraries, and checks it.

A method that is overridden by its name alone protects nothing once the library calls it otherwise, and no
error would say so. So each name stands here beside a function of the library that uses it. The check runs
when the application starts, under the gateway's own command and under hypercorn's alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PRIVATE_NAMES", "TRIED", "PrivateName", "PrivateNameError", "check_private_names"]

TRIED: Final = {
    "hypercorn": "0.18",
    "h11": "0.16",
    "quart": "0.22 to 0.23",
    "quart-trio": "0.12 to 0.13",
}
"""Versions of each library that the suite has passed on."""


class PrivateNameError(Exception):
    """A name that the transport relies on is gone, or not used."""


@dataclass(frozen=True, slots=True)
class PrivateName:
    """A name in a library that is overridden, patched or read."""

    library: str
    """Name of its distribution."""
    owner: str
    """Where it stands: ``module:qualified name``; ``module:`` for one of the module's own."""
    name: str
    caller: str
    """A function of the library that uses it, written like *owner*."""

    def fault(self) -> str | None:
        """What is wrong with it, if anything."""
        owner, caller = _find(self.owner), _find(self.caller)
        if owner is None or not (hasattr(owner, self.name) or self.name in _set_when_made(owner)):
            return f"{self.owner.partition(':')[2] or self.owner} has no {self.name}"
        code = getattr(caller, "__code__", None)
        if code is None or not any(self.name in each.co_names for each in _codes(code)):
            return f"{self.caller.partition(':')[2]} does not use {self.name}"
        return None


_TCP: Final = "hypercorn.trio.tcp_server:TCPServer"
_H11: Final = "hypercorn.protocol.h11:H11Protocol"
_WS: Final = "hypercorn.protocol.ws_stream:WSStream"
_HTTP: Final = "quart.asgi:ASGIHTTPConnection"
_SOCKET: Final = "quart.asgi:ASGIWebsocketConnection"

PRIVATE_NAMES: Final = (
    # One client's connection: its writes have a deadline, and its reader sees the end (traps T1, T2, T9).
    PrivateName("hypercorn", "hypercorn.trio.run:", "TCPServer", "hypercorn.trio.run:worker_serve"),
    PrivateName("hypercorn", _TCP, "run", f"{_TCP}.__await__"),
    PrivateName("hypercorn", _TCP, "_read_data", f"{_TCP}.run"),
    PrivateName("hypercorn", _TCP, "protocol_send", f"{_TCP}.run"),
    # Requests: bounded heads, refused framing, no upgrade with bytes behind it (trap T8).
    PrivateName("hypercorn", _H11, "handle", f"{_TCP}._read_data"),
    PrivateName("hypercorn", _H11, "can_read", f"{_H11}._handle_events"),
    PrivateName("hypercorn", _H11, "_maybe_recycle", f"{_H11}.stream_send"),
    PrivateName("hypercorn", _H11, "_check_protocol", f"{_H11}._handle_events"),
    PrivateName("hypercorn", _H11, "_create_stream", f"{_H11}._handle_events"),
    PrivateName("hypercorn", _H11, "_send_error_response", f"{_H11}._handle_events"),
    PrivateName(
        "h11", "h11._connection:Connection", "they_are_waiting_for_100_continue", f"{_H11}._handle_events"
    ),
    PrivateName(
        "h11",
        "h11._receivebuffer:ReceiveBuffer",
        "maybe_extract_lines",
        "h11._readers:maybe_read_from_IDLE_client",
    ),
    # WebSockets: bounded messages, pings, close codes (traps T3, T5).
    PrivateName("hypercorn", _WS, "app_send", f"{_WS}.handle"),
    PrivateName("hypercorn", _WS, "_accept", f"{_WS}.app_send"),
    PrivateName("hypercorn", _WS, "_handle_events", f"{_WS}.handle"),
    PrivateName("hypercorn", _WS, "_send_pings", f"{_WS}._accept"),
    # Quart's side of a request (traps T4, T17).
    PrivateName(
        "quart", _HTTP, "_create_request_from_scope", "quart_trio.asgi:TrioASGIHTTPConnection.__call__"
    ),
    PrivateName("quart", _HTTP, "_send_response", "quart_trio.asgi:TrioASGIHTTPConnection.handle_request"),
    PrivateName(
        "quart-trio",
        "quart_trio.asgi:TrioASGIHTTPConnection",
        "handle_request",
        "quart_trio.asgi:TrioASGIHTTPConnection.__call__",
    ),
    PrivateName(
        "quart",
        _SOCKET,
        "_create_websocket_from_scope",
        "quart_trio.asgi:TrioASGIWebsocketConnection.__call__",
    ),
    PrivateName("quart-trio", "quart_trio.app:QuartTrio", "asgi_http_class", "quart.app:Quart.asgi_app"),
    PrivateName("quart-trio", "quart_trio.app:QuartTrio", "asgi_lifespan_class", "quart.app:Quart.asgi_app"),
    PrivateName("quart-trio", "quart_trio.app:QuartTrio", "asgi_websocket_class", "quart.app:Quart.asgi_app"),
)
"""Every such name."""


def check_private_names(names: Iterable[PrivateName] = PRIVATE_NAMES) -> None:
    """Check that each of *names* is still there, and still used.

    Raises:
        PrivateNameError: the first that is not, with library, installed version and tried versions.
    """
    for each in names:
        if (fault := each.fault()) is not None:
            raise PrivateNameError(
                f"{each.library} {version(each.library)}: {fault}, which the gateway relies on;"
                f" it was tried with {each.library} {TRIED[each.library]}"
            )


def _find(place: str) -> Any:  # noqa: ANN401 -- a module, a class or a function
    module, _, path = place.partition(":")
    try:
        return reduce(getattr, filter(None, path.split(".")), import_module(module))
    except (ImportError, AttributeError):
        return None


def _set_when_made(owner: Any) -> tuple[str, ...]:  # noqa: ANN401 -- likewise
    """Names that occur where *owner* is made: a class's attributes of its instances are among them."""
    made = getattr(getattr(owner, "__init__", None), "__code__", None)
    return () if made is None else made.co_names


def _codes(code: CodeType) -> Iterator[CodeType]:
    """*code*, and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
