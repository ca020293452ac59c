"""View of ``POST /render``: reads one text within its bounds, and answers with its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from msgspec import UNSET
from quart import Request, Response, g
from werkzeug.exceptions import RequestEntityTooLarge

from ...core.access.shown_key import body_owner
from ...core.errors import RequestError, error_for, refusal
from ...core.json.strict import StrictJSONError, parse
from ..media_type import require_json
from ..transport.asgi import CLEANUP
from .limits import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...engine.gateway import Gateway
    from ..transport.incoming import IncomingBody
    from .renderer import Renderer

__all__ = ["answer_render"]

_MAX_BODY: Final = 6 * MAX_TEXT + 1024
"""Bytes of a body: JSON may write a character in six."""


async def answer_render(gateway: Gateway, renderer: Renderer, request: Request) -> Response:
    r"""Answer ``{"text": "…"}`` with ``{"blocks": [{"line": 0, "nodes": […]}]}``.

    Raises:
        RequestError, HTTPException: the request is refused, as a chat request would be.
    """
    g.client.take_text()  # before the body is read, so that those which are refused count as well
    require_json(request)
    peer = request.scope.get("client")
    owner = body_owner(g.client.key.id, None if peer is None else peer[0])
    text = _text_of(await _read(gateway, request, owner))
    return Response(await renderer.render(text, owner), content_type="application/json")


async def _read(gateway: Gateway, request: Request, owner: str | None) -> bytearray:
    body = cast("IncomingBody", request.body)
    body.limit = min(body.limit, _MAX_BODY)
    hold = gateway.bodies.budget.hold(owner, body.announced)
    cleanup = cast("dict[str, list[Callable[[], object]]]", request.scope).setdefault(CLEANUP, [])
    cleanup.append(hold.release)
    return await body.read(hold)


def _text_of(body: bytearray) -> str:
    try:
        value = parse(body, mend_surrogates=True)
    except StrictJSONError as error:
        raise RequestError(error_for("invalid_json", f"The request body: {error}")) from None
    if not isinstance(value, dict):
        raise refusal("", "an object", value)
    text = value.get("text", UNSET)
    if not isinstance(text, str):
        raise refusal("text", "a string", text)
    if len(text) > MAX_TEXT:
        raise RequestEntityTooLarge(f"text: expected at most {MAX_TEXT:,} characters, got {len(text):,}.")
    return text
