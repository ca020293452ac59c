"""The web application: routes, and how every error becomes an OpenAI error object."""

from __future__ import annotations

import os
import re
import secrets
import sys
from typing import TYPE_CHECKING, Any, Protocol, cast

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from quart import Response, g, request, websocket
from quart.wrappers import Request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ..core.client_api import FORMATS, OPEN_PATHS, WireFormat, format_of_path
from ..core.errors import RequestError, no_such_model
from ..core.json.strict import dumps
from ..engine.gateway import Gateway
from .allocator import return_large_blocks
from .auth_and_cors import METRICS, admit_client, answer_preflight, share
from .chat_http import answer_chat
from .error_responses import http_error, internal_error, request_error
from .load_settings import load_settings
from .pages import add_pages
from .paths import settled_path
from .rendering.endpoint import answer_render
from .rendering.renderer import Renderer
from .shared_store import shared_store
from .static_routes import static_routes
from .tracer_choice import tracer_of
from .transport.asgi import HTTPConnection, Lifespan
from .transport.hardening import Hardening, Limits
from .websocket.view import WebSocketConnection, talk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
    from quart.typing import ResponseTypes
    from quart.wrappers import Websocket
    from werkzeug.datastructures import Headers
    from werkzeug.routing import MapAdapter

    from ..core.config import ModelConfig, ServerConfig
    from ..core.config.settings import Settings
    from ..engine.clients import Client
    from ..engine.shared_state import SharedStore
    from ..engine.tracing import Tracer
    from .load_settings import Config

__all__ = ["GatewayApp", "Whole", "create_app"]

log = structlog.get_logger("trio_gateway.server")

# A client may name its request; what could break a log line or a header is not taken.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Seconds for which a thread that computes keeps the interpreter's lock from the event loop, where it makes no
# pause of its own. The loop gives the lock away at each of its steps, so Python's 5 ms would make it crawl.
_SWITCH_INTERVAL = 0.001
# Characters of a path that the log shows: more than any of ours has.
_SHOWN_PATH = 100


class Whole(Protocol):
    """All processes of a gateway that has several."""

    async def metrics(self) -> bytes:
        """The text of ``/metrics``.

        Raises:
            RequestError: 503, they could not be asked.
        """

    async def health(self) -> dict[str, Any]:
        """The body of ``/health``."""


class GatewayApp(QuartTrio):
    """The application, and the gateway that lives while it serves.

    *tracer*: what records spans; None: what the process's OTEL_* variables ask for when it begins to serve.
    """

    asgi_http_class = HTTPConnection
    asgi_lifespan_class = Lifespan
    asgi_websocket_class = WebSocketConnection
    gateway: Gateway
    whole: Whole | None = None
    """Speaks for all processes where this is one of several."""
    store: SharedStore | None
    """Where limits and breakers are shared when it begins to serve; None: with no other process."""

    def __init__(self, settings: Settings, *, tracer: Tracer | None = None) -> None:
        super().__init__("trio_gateway", static_folder=None)
        self._tracer = tracer
        self.settings = settings
        self.store = shared_store(settings)
        self._hardening = Hardening(_limits(settings.config.server))
        self._renderer = Renderer()
        self.config["MAX_CONTENT_LENGTH"] = settings.config.server.max_body
        self.config["BODY_TIMEOUT"] = None  # slow bodies are cut off by their pace
        self.before_serving(self._start)
        self.after_serving(self._stop)
        self.before_request(self._let_in)
        self.after_request(self._sign)
        self.before_websocket(self._let_socket_in)
        self.after_websocket(_sign_refusal)
        self.register_error_handler(RequestError, request_error)
        self.register_error_handler(HTTPException, http_error)
        self.register_error_handler(Exception, internal_error)
        for path in OPEN_PATHS:
            self._chat_route(path, None)
        for entry in FORMATS.values():
            for path in entry.paths:
                self._chat_route(path, entry)
        for prefix in ("", "/openai"):
            self._route(f"{prefix}/v1/models", "GET", self._models)
            self._route(f"{prefix}/v1/models/<path:model_id>", "GET", self._model)
        self._route("/render", "POST", self._render)
        self._route("/health", "GET", self._health)
        self._route("/health/live", "GET", self._live)
        self._route("/health/ready", "GET", self._ready)
        self._route(METRICS, "GET", self._metrics)
        add_pages(self)
        self._static_routes = static_routes(self.url_map.iter_rules())

    def create_url_adapter(self, request: Request | Websocket | None) -> MapAdapter | None:  # type: ignore[override]
        """What finds the route of *request*."""
        if request is not None:
            method = request.method if isinstance(request, Request) else ""
            if (found := self._static_routes.get((request.path, method))) is not None:
                return cast("MapAdapter", found)
        return super().create_url_adapter(request)

    def _chat_route(self, path: str, path_format: WireFormat | None) -> None:
        async def chat() -> Response:
            return await answer_chat(self.gateway, request, path_format=path_format)

        async def converse() -> None:
            await self._converse(path_format)

        chat.__name__, converse.__name__ = f"chat {path}", f"converse {path}"  # Quart names routes by these
        self._route(path, "POST", chat)
        self._socket(path, converse)

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection, under the path as the routes spell it."""
        if scope["type"] in {"http", "websocket"}:
            scope["path"] = settled_path(scope["path"])
        if scope["type"] == "http":  # at once, as each call between is kept for a whole stream
            await self.asgi_http_class(self, scope)(receive, send)
        else:
            await super().asgi_app(scope, receive, send)

    def _route(self, path: str, method: str, view: Callable[..., Awaitable[Response]]) -> None:
        self.add_url_rule(path, view_func=view, methods=[method], provide_automatic_options=False)

    def _socket(self, path: str, view: Callable[[], Awaitable[None]]) -> None:
        # Not add_websocket, which would have "Allow" tell of GET, HEAD and OPTIONS without an upgrade too.
        self.url_map.add(self.url_rule_class(path, endpoint=view.__name__, websocket=True))
        self.view_functions[view.__name__] = view  # type: ignore[assignment]  # it wants a response

    async def reload(self, settings: Settings) -> None:
        """Serve under *settings* from now on; what runs keeps those it began under. The address stays."""
        self.settings = settings
        server = settings.config.server
        self._hardening.limits = _limits(server)
        self._hardening.install()
        self.config["MAX_CONTENT_LENGTH"] = server.max_body
        self._warn()
        await self.gateway.reload(settings)

    async def _start(self) -> None:
        self._warn()
        if self._tracer is None:
            self._tracer = tracer_of(os.environ)
        self.gateway = Gateway(self.settings, self.store, tracer=self._tracer)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        return_large_blocks()
        self._hardening.install()
        self.nursery.start_soon(self._drain)
        self.nursery.start_soon(self.gateway.run)
        if self.gateway.shared is not None:
            await self.gateway.shared.join()

    def _warn(self) -> None:
        for warning in self.settings.warnings:
            log.warning("configuration", message=warning)

    async def _stop(self) -> None:
        self._hardening.uninstall()
        await self._renderer.aclose()
        await self.gateway.tracer.aclose()

    async def _drain(self) -> None:
        await self._hardening.drain()
        self.gateway.drain()

    async def _let_in(self) -> Response | None:
        g.request_id, g.path_format = _id_of(request.headers), format_of_path(request.path)
        preflight = answer_preflight(self.gateway.config.server, request)
        if preflight is None:
            self._identify(request)
        return preflight

    async def _let_socket_in(self) -> None:
        g.request_id, g.path_format = _id_of(websocket.headers), format_of_path(websocket.path)
        self._identify(websocket)

    def _identify(self, asking: Request | Websocket) -> None:
        try:
            g.client = admit_client(self.gateway, asking)
        except RequestError as error:
            path = asking.path[:_SHOWN_PATH]
            self.gateway.metrics.count_refusal(error.error.code)
            log.info("kept_out", request_id=g.request_id, path=path, error_class=error.error.code)
            raise

    async def _sign(self, response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if "format" in g:
            response.headers["X-Stream-Format"] = g.format.name
        client: Client | None = g.get("client")
        if client is not None:
            response.headers.extend(client.limits())
        share(self.gateway.config.server, request.headers, response.headers)
        return response

    async def _converse(self, path_format: WireFormat | None) -> None:
        draining = self._hardening.drain
        try:
            await talk(
                self.gateway,
                websocket,
                client=g.client,
                request_id=g.request_id,
                draining=draining,
                path_format=path_format,
            )
        except RequestError as error:  # the upgrade is refused
            self.gateway.metrics.count_refusal(error.error.code)
            raise

    async def _models(self) -> Response:
        key = g.client.key
        entries = [each for each in self.gateway.catalogue.entries() if key.allows(each["id"])]
        return _json({"object": "list", "data": entries})

    async def _model(self, model_id: str) -> Response:
        entry = self.gateway.catalogue.entry(model_id)
        if entry is None or not g.client.key.allows(model_id):
            raise no_such_model(model_id)
        return _json(entry)

    async def _render(self) -> Response:
        return await answer_render(self.gateway, self._renderer, request)

    async def _health(self) -> Response:
        return _json(await self.whole.health() if self.whole else self.gateway.health())

    async def _live(self) -> Response:
        return _json({"status": "ok"})

    async def _ready(self) -> Response:
        ready = self.gateway.ready
        return _json({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)

    async def _metrics(self) -> Response:
        page = await self.whole.metrics() if self.whole else generate_latest(self.gateway.metrics.registry)
        return Response(page, content_type=CONTENT_TYPE_LATEST)


def create_app(
    config: Config | None = None,
    *,
    upstream_url: str | None = None,
    models: Mapping[str, ModelConfig | Mapping[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> GatewayApp:
    """The application, for hypercorn's trio worker or to be mounted in another one.

    The arguments are those of :func:`.settings.load_settings`.

    Raises:
        ConfigError: the configuration has a mistake; its text is the line that the command line shows.
    """
    return GatewayApp(load_settings(config, upstream_url=upstream_url, models=models, environ=environ))


def _limits(server: ServerConfig) -> Limits:
    return Limits(
        write_timeout=server.write_timeout,
        graceful_timeout=server.graceful_timeout,
        max_message=server.max_body,
        heartbeat=server.heartbeat,
    )


def _json(value: object, *, status: int = 200) -> Response:
    return Response(dumps(value), status=status, content_type="application/json")


def _id_of(headers: Headers) -> str:
    given = headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


async def _sign_refusal(response: ResponseTypes | None) -> ResponseTypes | None:
    """An upgrade that is refused is answered like any request; where it was granted there is no response."""
    if response is not None:
        response.headers["X-Request-Id"] = g.request_id
        response.headers["Connection"] = "close"  # as hypercorn does without saying so
    return response
