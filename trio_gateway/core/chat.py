"""The body of a chat request: checked once on the way in, written anew on the way out.

What the gateway reads is checked here, so nothing behind this module meets a value of the wrong type.
Everything else is the upstream's business and passes with its value, except fields that would choose
where the request goes: see :data:`REFUSED_FIELDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import UNSET, Struct

from .breaker import RequestIdentity
from .errors import RequestError, clean_text, error_for, refusal
from .messages import check_messages, clean_history
from .strict_json import StrictJSONError, dumps, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "NO_THINKING",
    "REFUSED_FIELDS",
    "ChatRequest",
    "GatewayOptions",
    "parse_chat_request",
    "upstream_body",
]

REFUSED_FIELDS: Final = (
    *("api_base", "base_url", "azure_endpoint"),  # another address
    *("api_key", "azure_ad_token", "vertex_credentials", "litellm_credential_name"),  # another key
    *("extra_headers", "headers"),  # may hold either
    *("user_config", "model_list", "litellm_params", "extra_body", "custom_llm_provider"),  # so may these
)
"""Body fields that routers behind an OpenAI-style API obey (CVE-2024-6587): whoever sets one could have the
upstream's key sent to a host of their own. Upstreams and keys come from the configuration alone."""
_REFUSED_PREFIX: Final = "aws_"  # endpoints and credentials of one cloud

_MAX_CHOICES: Final = 8
_MAX_MODEL_LENGTH: Final = 256
NO_THINKING: Final = ("none", "minimal")
"""Values of ``reasoning_effort`` that a model with a thinking switch takes as: do not think."""
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "format": ("phases", "openai"),
    "reasoning": ("summary", "raw", "both", "off"),
    "detail": ("concise", "auto", "detailed"),
}

Json = dict[str, Any]


class GatewayOptions(Struct, frozen=True):
    """The body object ``gateway``: what the client wants of the gateway itself."""

    format: Literal["phases", "openai"] | None = None
    """Format of the stream; None: as path, header or configuration say."""
    prompt_summary: bool = True
    reasoning: Literal["summary", "raw", "both", "off"] = "summary"
    """What of the reasoning is shown: a summary, the reasoning itself, both or nothing."""
    detail: Literal["concise", "auto", "detailed"] = "auto"
    """How long the lines of the reasoning summary are."""

    @property
    def shows_reasoning(self) -> bool:
        """Whether the client sees the reasoning itself."""
        return self.reasoning in {"raw", "both"}


class ChatRequest(Struct, frozen=True):
    """A checked request."""

    model: str
    """The requested id; ``default`` where none is given."""
    messages: list[Json]
    body: Json
    """Everything to forward: the whole body but ``gateway``."""
    stream: bool | None = None
    """None: not said."""
    include_usage: bool = False
    """The client wants a usage chunk."""
    n: int = 1
    thinking: bool | None = None
    """Whether the request switches thinking on or off; None: not said. Off wins where it says both."""
    options: GatewayOptions = GatewayOptions()
    identity: RequestIdentity = RequestIdentity()
    """Who sent it, and a digest of its body; empty for a request of the gateway's own."""


def parse_chat_request(body: str | bytes, *, max_messages: int = 2048, max_depth: int = 64) -> ChatRequest:
    """Check the body of a chat request.

    Raises:
        RequestError: with status 400, the place in ``param``, and what was expected and what came.
    """
    fields = _object(body, max_depth)
    options = _options(_member(fields, "gateway"))
    fields.pop("gateway", None)
    _refuse_redirection(fields)
    if isinstance(n := fields.get("n"), float) and n.is_integer():
        fields["n"] = int(n)  # JSON knows no difference between 2 and 2.0, but some servers do
    usage = _flag(_member(fields, "stream_options"), "include_usage", under="stream_options.")
    return ChatRequest(
        model=_model(fields.get("model")),
        messages=check_messages(fields.get("messages", UNSET), max_messages=max_messages),
        body=fields,
        stream=_flag(fields, "stream"),
        include_usage=bool(usage),
        n=_choices(fields.get("n")),
        thinking=_thinking(fields),
        options=options,
    )


def upstream_body(
    request: ChatRequest,
    *,
    model: str,
    ask_usage: bool,
    keep_reasoning: bool = False,
    thinking_switch: str = "",
    thinks: bool = True,
    markers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The JSON to forward: always a stream, under the upstream's name of the *model*, its history cleaned.

    *ask_usage*: want token counts even if the client does not. *keep_reasoning*, *markers*: see
    :func:`~trio_gateway.core.messages.clean_history`. *thinking_switch*: the chat-template argument that a
    ``reasoning_effort`` of ``none`` or ``minimal`` becomes; empty: the effort passes as it is. Not *thinks*:
    the switch is thrown whatever the request says.
    """
    messages = clean_history(request.messages, keep_reasoning=keep_reasoning, markers=markers)
    body = {**request.body, "model": model, "messages": messages, "stream": True}
    if ask_usage:
        body["stream_options"] = {**_member(body, "stream_options"), "include_usage": True}
    if thinking_switch and (not thinks or body.get("reasoning_effort") in NO_THINKING):
        body.pop("reasoning_effort", None)
        body["chat_template_kwargs"] = {**_member(body, "chat_template_kwargs"), thinking_switch: False}
    return dumps(body).encode()


def _object(body: str | bytes, max_depth: int) -> Json:
    try:
        value = parse(body, max_depth=max_depth)
    except StrictJSONError as error:  # the client's mistake: 400 with its place
        where = f"{error.path}: " if error.path else ""
        message = f"{where}expected strict JSON, got {error.message}"
        raise RequestError(error_for("invalid_json", message, param=error.path or None)) from None
    if not isinstance(value, dict):
        raise refusal("", "a JSON object", value)
    return value


def _member(fields: Json, key: str) -> Json:
    """The object under *key*; empty where there is none."""
    value = fields.get(key)
    if not (value is None or isinstance(value, dict)):
        raise refusal(key, "an object", value)
    return value or {}


def _flag(fields: Json, key: str, *, under: str = "") -> bool | None:
    value = fields.get(key)
    if not (value is None or isinstance(value, bool)):
        raise refusal(under + key, "true or false", value)
    return value


def _options(given: Json) -> GatewayOptions:
    _flag(given, "prompt_summary", under="gateway.")
    for key, value in given.items():
        if key != "prompt_summary" and key not in _OPTIONS:
            known = ", ".join(["prompt_summary", *_OPTIONS])
            raise refusal(f"gateway.{clean_text(key, 64)}", f"no such key (known are {known})", value)
        if key in _OPTIONS and value is not None and value not in _OPTIONS[key]:
            raise refusal(f"gateway.{key}", f"one of {', '.join(_OPTIONS[key])}", value)
    return GatewayOptions(**{key: value for key, value in given.items() if value is not None})


def _refuse_redirection(fields: Json) -> None:
    for name, value in fields.items():
        if name in REFUSED_FIELDS or name.startswith(_REFUSED_PREFIX):
            why = "no such field (the gateway's configuration alone says where a request goes)"
            raise refusal(clean_text(name, 64), why, value)


def _model(value: object) -> str:
    if value is None:
        return "default"
    if not isinstance(value, str) or not value:
        raise refusal("model", "a non-empty string", value)
    if len(value) > _MAX_MODEL_LENGTH:
        raise refusal("model", f"at most {_MAX_MODEL_LENGTH} characters", value)
    if value != clean_text(value):  # a line end in it, say: it will stand in logs and in metrics
        raise refusal("model", "a name without control characters or needless spaces", value)
    return value


def _choices(value: object) -> int:
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= _MAX_CHOICES:  # true is an int as well
        raise refusal("n", f"an integer from 1 to {_MAX_CHOICES}", value)
    return value


def _thinking(fields: Json) -> bool | None:
    places = (fields, _member(fields, "chat_template_kwargs"))
    said = [place.get(key) for place in places for key in ("enable_thinking", "thinking")]
    # Some APIs take {"thinking": {"type": "disabled"}}.
    said = [value.get("type") == "enabled" if isinstance(value, dict) else value for value in said]
    if fields.get("reasoning_effort") == "none" or any(value is False for value in said):
        return False
    return True if any(value is True for value in said) else None
