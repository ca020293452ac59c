"""The application that ``hypercorn -k trio trio_gateway:app`` names: made when the worker starts.

Importing the package must not read the environment, nor fail over a mistake in a file that is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

    from .server.app import GatewayApp

__all__ = ["app"]


class _LazyApp:
    """An ASGI application whose first call, the lifespan's, makes the real one."""

    def __init__(self) -> None:
        self._app: GatewayApp | None = None

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if self._app is None:
            from .server.process import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


app = _LazyApp()
