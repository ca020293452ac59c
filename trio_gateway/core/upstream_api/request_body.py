"""Request body: writes what an upstream is sent for a client's request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..json.strict import dumps
from .history import clean_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..client_api.request import ChatRequest

__all__ = ["NO_THINKING", "upstream_body", "upstream_fields"]

NO_THINKING: Final = ("none", "minimal")
"""Values of ``reasoning_effort`` that a model with a thinking switch takes as: do not think."""

Json = dict[str, Any]


def upstream_body(request: ChatRequest, **how: Any) -> bytes:  # noqa: ANN401  (see upstream_fields)
    """The JSON to forward, in one piece: :func:`upstream_fields` with these arguments, encoded."""
    return dumps(upstream_fields(request, **how)).encode()


def upstream_fields(
    request: ChatRequest,
    *,
    model: str,
    ask_usage: bool,
    keep_reasoning: bool = False,
    thinking_switch: str = "",
    thinks: bool = True,
    markers: Sequence[tuple[str, str]] = (),
    stream: bool = True,
    fill_reasoning: bool = False,
) -> Json:
    """What is forwarded: as a rule a stream, under the upstream's name of the *model*, its history cleaned.

    *ask_usage*: want token counts even if the client does not. *keep_reasoning*, *markers*, *fill_reasoning*:
    see :func:`~.history.clean_history`. *thinking_switch*: the template's argument that a
    ``reasoning_effort`` of ``none`` or ``minimal`` becomes; empty: the effort passes as it is. Not *thinks*:
    the switch is thrown whatever the request says. Not *stream*: the upstream refuses to stream.
    """
    messages = clean_history(
        request.messages, keep_reasoning=keep_reasoning, markers=markers, fill_reasoning=fill_reasoning
    )
    body = {**request.body, "model": model, "messages": messages, "stream": stream}
    if not stream:
        body.pop("stream_options", None)  # refused without a stream, and a whole answer has its counts
    elif ask_usage:
        body["stream_options"] = {**_member(body, "stream_options"), "include_usage": True}
    if thinking_switch and (not thinks or body.get("reasoning_effort") in NO_THINKING):
        body.pop("reasoning_effort", None)
        body["chat_template_kwargs"] = {**_member(body, "chat_template_kwargs"), thinking_switch: False}
    return body


def _member(fields: Json, key: str) -> Json:
    """The object under *key*, whose type was checked; empty where there is none."""
    return fields.get(key) or {}
