"""Private names: each is there, each that goes missing is named, and none is missing from the table."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from trio_gateway.server.transport.private_names import (
    PRIVATE_NAMES,
    PrivateName,
    PrivateNameError,
    check_private_names,
)

OURS = ("connection", "http1", "rfc6455", "asgi")
LIBRARIES = {"hypercorn", "h11", "quart", "quart_trio"}


@pytest.mark.parametrize("name", PRIVATE_NAMES, ids=lambda name: f"{name.owner}.{name.name}")
def test_it_is_there_and_used(name: PrivateName) -> None:
    assert name.fault() is None


@pytest.mark.parametrize("name", PRIVATE_NAMES, ids=lambda name: f"{name.owner}.{name.name}")
def test_a_missing_name_is_named(name: PrivateName) -> None:
    renamed = PrivateName(name.library, name.owner, f"{name.name}_renamed", name.caller)
    with pytest.raises(PrivateNameError, match=rf"^{name.library} \d.* has no {name.name}_renamed, which"):
        check_private_names([renamed])
    assert name.fault() is None


def test_a_name_that_is_not_used_any_more_is_named() -> None:
    unused = PrivateName(
        "h11", "h11._connection:Connection", "start_next_cycle", "h11._readers:_decode_header_lines"
    )
    with pytest.raises(PrivateNameError, match="_decode_header_lines does not use start_next_cycle"):
        check_private_names([unused])


def overridden() -> set[tuple[str, str]]:
    """Class and name of everything that the transport overrides in a library, but what Python looks up."""
    found = set()
    for module in (import_module(f"trio_gateway.server.transport.{name}") for name in OURS):
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and kind.__module__ == module.__name__):
                continue
            for base in kind.__mro__[1:]:
                if base.__module__.split(".")[0] in LIBRARIES:
                    both = vars(kind).keys() & vars(base).keys()
                    found |= {(base.__name__, name) for name in both if not name.startswith(("__", "_abc"))}
    return found


def test_every_overridden_name_is_in_the_table() -> None:
    known = {(name.owner.rpartition(":")[2], name.name) for name in PRIVATE_NAMES}
    # H11Protocol.handle has the same caller; what Quart-Trio overrides is not called by Quart.
    missing = overridden() - known - {("WSStream", "handle"), ("ASGIHTTPConnection", "handle_request")}
    assert missing == set()


def test_the_start_ends_with_2_and_one_line() -> None:
    script = (
        "import hypercorn.protocol.ws_stream as ws; del ws.WSStream._send_pings;"
        "import trio_gateway.server.process as process; process.make_app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("hypercorn ")
    assert "WSStream has no _send_pings" in line
