"""Banner: what a person at a terminal needs to know once the gateway listens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import trio

from ..core.text.control_characters import escape_controls
from ..version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..core.config import ModelConfig
    from ..core.config.settings import Settings
    from ..engine.backend import Backend
    from ..engine.gateway import Gateway
    from .app import GatewayApp

__all__ = ["BANNER_PATIENCE", "awaited_banner", "banner_lines", "is_wanted", "print_banner", "show_banner"]

BANNER_PATIENCE: Final = 2.0
"""Seconds the upstreams get to be asked for their models."""
_NAMED: Final = 8
"""Models of an upstream that are named."""


def is_wanted(settings: Settings) -> bool:
    """Whether stderr is a terminal that shows text, not JSON."""
    return sys.stderr.isatty() and settings.log_format != "json"


def show_banner(app: GatewayApp, url: str) -> None:
    """Have *app* print the banner on stderr once it serves and has asked its upstreams. *url*: its own."""

    async def begin() -> None:
        app.nursery.start_soon(_show, app, url)

    app.before_serving(begin)


async def _show(app: GatewayApp, url: str) -> None:
    print_banner(await awaited_banner(app, url))


def print_banner(lines: Iterable[str]) -> None:
    """Print them on stderr, whatever an upstream's name holds."""
    print("\n".join(map(escape_controls, lines)), file=sys.stderr, flush=True)


async def awaited_banner(app: GatewayApp, url: str) -> list[str]:
    """The lines, once the upstreams of *app*, which serves, were asked. *url*: its own."""
    with trio.move_on_after(BANNER_PATIENCE):
        for backend in app.gateway.backends.values():
            await backend.traffic.seen.wait()
    return list(banner_lines(app.gateway, url))


def banner_lines(gateway: Gateway, url: str) -> Iterator[str]:
    """The lines, which name nothing secret."""
    yield f"Reasoning LLM Gateway {__version__}"
    yield f"  page      {url}/"
    yield f"  API       {url}/docs"
    default = gateway.config.models["default"]
    for backend in gateway.backends.values():
        yield f"  upstream  {backend.name}: {backend.site.url} {_state(backend)}"
        if backend.name in default.upstreams:
            yield f"            {_meaning(backend, default)}"
    asked = bool(gateway.config.server.api_keys_file)
    yield f"  keys      {'asked for' if asked else 'not asked for'}"


def _state(backend: Backend) -> str:
    standing, models = backend.traffic.standing, backend.traffic.models
    match standing.reachable:
        case None:
            return "has not answered yet"
        case False:
            return f"does not answer: {standing.trouble or 'no connection'}"
        case True:
            trouble = f", but not well: {standing.trouble}" if standing.trouble else ""
            return f"answers, and lists {len(models) or 'no'} model{'s' * (len(models) != 1)}{trouble}"


def _meaning(backend: Backend, default: ModelConfig) -> str:
    """What the model ``default`` is there."""
    models = backend.traffic.models
    name = backend.upstream_name("default", default.upstream_model)
    if name != "default" or not models or name in models:
        return f'"default" is {name} there'
    listed = ", ".join(models[:_NAMED]) + ", …" * (len(models) > _NAMED)
    return f'"default" is not mapped: set UPSTREAM_MODEL to one of {listed}'
