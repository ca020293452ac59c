"""Chat request: checks the body of a request that a client sent.

What the gateway reads is checked here, so nothing behind this module meets a value of the wrong type.
Everything else is the upstream's business and passes with its value, except fields that would choose
where the request goes: see :data:`REFUSED_FIELDS`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, get_args

from msgspec import UNSET

from ..errors import RequestError, clean_text, error_for, refusal
from ..json.scan import TooDeepError, TooManyValuesError, scan_slices
from ..json.strict import StrictJSONError, no_pause, parse
from .messages import check_messages
from .request import MAX_MODEL_ID, PLAIN_FIELDS, ChatRequest, FormatName, GatewayOptions, is_continued

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


__all__ = [
    "REFUSED_FIELDS",
    "parse_chat_request",
    "scan_chat_body",
]

REFUSED_FIELDS: Final = (
    *("api_base", "base_url", "azure_endpoint"),  # another address
    *("api_key", "azure_ad_token", "vertex_credentials", "litellm_credential_name"),  # another key
    *("extra_headers", "headers"),  # may hold either
    *("user_config", "model_list", "litellm_params", "custom_llm_provider"),  # so may these
)
"""Body fields that routers behind an OpenAI-style API obey (CVE-2024-6587): whoever sets one could have the
upstream's key sent to a host of their own. Upstreams and keys come from the configuration alone. They are
refused in ``extra_body`` too, which clients send as it is and some servers spread over the body."""
_SPREAD: Final = "extra_body"
_REFUSED_PREFIX: Final = "aws_"  # endpoints and credentials of one cloud

_MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 64
_MAX_CHOICES: Final = 8
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "format": get_args(FormatName),
    "reasoning": ("summary", "raw", "both", "off"),
    "detail": ("concise", "auto", "detailed"),
}

Json = dict[str, Any]


def scan_chat_body(body: bytes | bytearray) -> Generator[None, None, int]:
    """Count the JSON values of *body*, in slices, before it is parsed; returns their number.

    Raises:
        RequestError: 400, as there are too many values or levels.
    """
    try:
        return (yield from scan_slices(body, max_values=_MAX_VALUES, max_depth=_MAX_DEPTH))
    except TooManyValuesError as error:
        message = f"expected at most {_MAX_VALUES:,} JSON values in the body, got {error}"
        raise RequestError(error_for("too_many_values", message)) from None
    except TooDeepError as error:
        raise _invalid(str(error)) from None


def parse_chat_request(
    body: str | bytes | bytearray,
    *,
    max_messages: int = 2048,
    max_depth: int = _MAX_DEPTH,
    pause: Callable[[], None] = no_pause,
) -> ChatRequest:
    """Check the body of a chat request. *pause*: see :func:`~trio_gateway.core.json.strict.parse`.

    Raises:
        RequestError: with status 400, the place in ``param``, and what was expected and what came.
    """
    fields = _object(body, max_depth, pause)
    options = _options(_member(fields, "gateway"))
    fields.pop("gateway", None)
    _refuse_redirection(fields)
    if isinstance(n := fields.get("n"), float) and n.is_integer():
        fields["n"] = int(n)  # JSON knows no difference between 2 and 2.0, but some servers do
    usage = _flag(_member(fields, "stream_options"), "include_usage", under="stream_options.")
    model = _model(fields.get("model"))
    messages = check_messages(fields.get("messages", UNSET), max_messages=max_messages)
    return ChatRequest(
        model=model,
        messages=messages,
        body=fields,
        stream=_flag(fields, "stream"),
        include_usage=bool(usage),
        n=_choices(fields.get("n")),
        thinking=_thinking(fields),
        options=options,
        plain=fields.keys() <= PLAIN_FIELDS and not is_continued(messages),
        digest=_digest(body),
    )


def _digest(body: str | bytes | bytearray) -> bytes:
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return blake2b(data, digest_size=16).digest()


def _object(body: str | bytes | bytearray, max_depth: int, pause: Callable[[], None]) -> Json:
    try:
        value = parse(body, max_depth=max_depth, mend_surrogates=True, pause=pause)
    except StrictJSONError as error:  # the client's mistake: 400 with its place
        raise _invalid(error.message, error.path) from None
    if not isinstance(value, dict):
        raise refusal("", "a JSON object", value)
    return value


def _invalid(found: str, path: str = "") -> RequestError:
    where = f"{path}: " if path else ""
    return RequestError(
        error_for("invalid_json", f"{where}expected strict JSON, got {found}", param=path or None)
    )


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
    path = ""
    inner: Any = fields
    while isinstance(inner, dict):  # at most as often as JSON may be nested
        for name, value in inner.items():
            if name in REFUSED_FIELDS or name.startswith(_REFUSED_PREFIX):
                why = "no such field (the gateway's configuration alone says where a request goes)"
                raise refusal(path + clean_text(name, 64), why, value)
        path, inner = f"{path}{_SPREAD}.", inner.get(_SPREAD)


def _model(value: object) -> str:
    if value is None:
        return "default"
    if not isinstance(value, str) or not value:
        raise refusal("model", "a non-empty string", value)
    if len(value) > MAX_MODEL_ID:
        raise refusal("model", f"at most {MAX_MODEL_ID} characters", value)
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
    switches = [place.get(key) for place in places for key in ("enable_thinking", "thinking")]
    # Some APIs take {"thinking": {"type": "disabled"}}.
    switches = [value.get("type") == "enabled" if isinstance(value, dict) else value for value in switches]
    if fields.get("reasoning_effort") == "none" or any(value is False for value in switches):
        return False
    return True if any(value is True for value in switches) else None
