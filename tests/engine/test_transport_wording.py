from __future__ import annotations

import pytest

from trio_gateway.core.upstream_api.faults import Replay
from trio_gateway.engine.transport import TransportFault
from trio_gateway.engine.transport_wording import fault_of

CODES = {
    "CONNECT_TIMEOUT": "upstream_connect_timeout",
    "UNKNOWN_HOST": "upstream_unreachable",
    "REFUSED": "upstream_unreachable",
    "UNREACHABLE": "upstream_unreachable",
    "TLS_NOT_SPOKEN": "upstream_tls",
    "TLS_EXPIRED": "upstream_tls",
    "TLS_WRONG_HOST": "upstream_tls",
    "TLS_UNTRUSTED": "upstream_tls",
    "TLS_FAILED": "upstream_tls",
    "WRITE": "upstream_closed",
    "RESET": "upstream_closed",
    "DISCONNECTED": "upstream_closed",
    "INCOMPLETE": "truncated",
    "VIOLATION": "upstream_protocol",
}


@pytest.mark.parametrize("failure", list(TransportFault), ids=lambda failure: failure.name)
def test_each_failure_has_a_code_words_and_advice(failure: TransportFault) -> None:
    fault = fault_of(failure)
    assert fault.error.code == CODES[failure.name]
    assert fault.error.message.endswith(".")
    assert fault.hint.format(url="U", table="T")
    assert fault.cause
    assert fault.replay is Replay.SAME, "another try may help"
