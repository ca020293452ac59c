"""Messages about an upstream: who it is, what it did, what to do next, and who may see its URL."""

from __future__ import annotations

import pytest

from trio_gateway.core.config import ServerConfig, UpstreamConfig
from trio_gateway.core.upstream_api.chunks import InbandError
from trio_gateway.core.upstream_api.faults import fault_of_error, fault_of_page, fault_of_transport
from trio_gateway.core.upstream_api.site import Site, may_show_urls, site_of

URL = "http://localhost:9000/v1"
SHOWN = Site(
    "main", URL, shown=True, url_setting="UPSTREAM_URL", key_setting="UPSTREAM_API_KEY", has_key=False
)
HIDDEN = Site("main", URL)
REFUSED = fault_of_transport(
    "upstream_unreachable", "The upstream refused the connection.", hint="Check {url}."
)
UNAUTHORISED = fault_of_error(InbandError("no", status=401), own_key=True)


@pytest.mark.parametrize(
    ("site", "fault", "message"),
    [
        (SHOWN, REFUSED, f'Upstream "main" at {URL} refused the connection. Check UPSTREAM_URL.'),
        (HIDDEN, REFUSED, 'Upstream "main" refused the connection. Check its url.'),
        (
            SHOWN,
            UNAUTHORISED,
            f'Upstream "main" at {URL} refused the gateway\'s key (status 401). UPSTREAM_API_KEY is not set.',
        ),
        (HIDDEN, UNAUTHORISED, 'Upstream "main" refused the gateway\'s key (status 401). The key is wrong.'),
        (
            SHOWN,
            fault_of_page(404, "HTML", "POST …/chat/completions"),
            f'Upstream "main" at {URL} answered 404 with HTML to POST …/chat/completions.'
            " Is the path in UPSTREAM_URL right?",
        ),
        (
            SHOWN,
            fault_of_error(InbandError("status 500", status=500), own_key=True),
            f'Upstream "main" at {URL} answered 500.',
        ),
        (
            SHOWN,
            fault_of_error(InbandError("out of {memory}"), own_key=True),
            f'Upstream "main" at {URL} reported an error: out of {{memory}}',
        ),
        (SHOWN, fault_of_error(InbandError("bad n", status=400), own_key=True), "bad n"),
        (SHOWN, fault_of_error(InbandError("no such model", status=404), own_key=True), "no such model"),
    ],
)
def test_messages(site: Site, fault: object, message: str) -> None:
    explained = site.explain(fault)  # type: ignore[arg-type]
    assert explained.error.message == message


UNKNOWN = fault_of_error(
    InbandError('model "default" not found, try pulling it first', status=404), own_key=True
)


@pytest.mark.parametrize(
    ("site", "listed", "message"),
    [
        (
            SHOWN,
            ("qwen3:8b", "llama3:8b"),
            'The model "default" is not mapped, and the upstream "main" lists qwen3:8b, llama3:8b.'
            ' Set UPSTREAM_MODEL, or name one of them as "model".',
        ),
        (
            Site("gpu", URL, shown=True),
            tuple("abcdefghi"),
            'The model "default" is not mapped, and the upstream "gpu" lists a, b, c, d, e, f, g, h, ….'
            ' Set models.default.upstream_model, or name one of them as "model".',
        ),
        *(
            (
                site,
                listed,
                'The model "default" is not mapped to one of the upstream "main".'
                ' Set UPSTREAM_MODEL, or name a model of GET /v1/models as "model".',
            )
            for site, listed in [(SHOWN, ()), (HIDDEN, ("qwen3:8b",))]
        ),
    ],
)
def test_a_default_that_the_upstream_does_not_know(site: Site, listed: tuple[str, ...], message: str) -> None:
    explained = site.explain(UNKNOWN, model="default", listed=listed)
    assert (explained.error.message, explained.error.code) == (message, "model_not_found")


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        (ServerConfig(), True),
        (ServerConfig(host="localhost"), True),
        (ServerConfig(host="0.0.0.0"), False),
        (ServerConfig(api_keys_file="keys.txt"), False),
    ],
)
def test_clients_see_urls_only_where_they_are_on_this_machine_and_need_no_key(
    server: ServerConfig, shown: bool
) -> None:
    assert may_show_urls(server) is shown
    site = site_of("main", UpstreamConfig(url="http://u:p@gpu.lan:8000/v1?key=s"), server, key=None)
    assert site.url == "http://gpu.lan:8000/v1"
    assert ("gpu.lan" in site.explain(REFUSED).error.message) is shown


@pytest.mark.parametrize(
    ("name", "config", "setting"),
    [
        ("main", {}, "UPSTREAM_API_KEY"),
        ("gpu", {}, "upstreams.gpu.api_key_env"),
        ("gpu", {"api_key_env": "GPU_KEY"}, "GPU_KEY"),
        ("gpu", {"api_key_file": "k"}, "upstreams.gpu.api_key_file"),
    ],
)
def test_the_setting_of_the_key_is_named(name: str, config: dict[str, str], setting: str) -> None:
    site = site_of(name, UpstreamConfig(url=URL, **config), ServerConfig(), key=None)  # type: ignore[arg-type]
    assert site.advice("{key}.") == f"{setting} is not set."
    assert site.url_setting == f"upstreams.{name}.url"
