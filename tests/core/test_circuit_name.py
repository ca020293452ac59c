"""Names of shared breakers: the same for the same upstream and key, and nothing shows in them."""

from __future__ import annotations

import re

import pytest

from trio_gateway.core.config import UpstreamConfig
from trio_gateway.core.upstream_api.circuit_name import circuit_name

URL = "https://user:password@example.com/v1"


def test_url_and_key_make_the_name() -> None:
    names = [
        circuit_name(UpstreamConfig(url=url), key)
        for url in (URL, "https://example.com/v1", "https://example.com/v1\0")
        for key in (None, "key", "other")
    ]
    assert len(set(names)) == len(names)
    assert circuit_name(UpstreamConfig(url=URL, max_attempts=1), None) == names[0]
    assert all(name is not None and re.fullmatch("[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize(
    ("url", "shared"),
    [("http://example.com/v1", False), ("https://example.com/v1", True)],
)
def test_what_a_proxy_may_answer_is_not_shared(url: str, *, shared: bool) -> None:
    name = circuit_name(UpstreamConfig(url=url, proxy="http://proxy:3128"), "key")
    assert (name is not None) is shared
