"""Configuration schema: defines meaning, unit, range and default of each key.

The TOML file and the environment are read into these structs by :mod:`trio_gateway.core.config.settings`;
nothing here touches a file or a variable. Durations are seconds, sizes are bytes unless stated otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct, field, inspect
from msgspec.structs import fields, force_setattr

from ..client_api.request import FormatName  # noqa: TC001 -- msgspec resolves it
from .instructions import PROMPT, REASONING
from .mistake_wording import blame, dotted

__all__ = [
    "BreakerConfig",
    "ConfigError",
    "GatewayConfig",
    "ModelConfig",
    "ServerConfig",
    "SummaryConfig",
    "UpstreamConfig",
]

# The upper bounds only keep out infinity and numbers that no clock or collection takes.
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
SecondsOrOff = Annotated[float, Meta(ge=0, le=1e9)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
CountOrOff = Annotated[int, Meta(ge=0, le=1_000_000_000)]
# A description is what an error message says was expected, where the bounds alone do not read well.
Url = Annotated[str, Meta(description="the base URL of an API")]
Host = Annotated[str, Meta(pattern=r"^\S+\Z", description="an address or a host name")]
HostName = Annotated[
    str,
    Meta(
        max_length=253,
        pattern=r"^(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?)\Z",
        description="a host name or an address without scheme and port, such as gateway.lan",
    ),
]
Origin = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://[^/\s*]+/?\Z",
        description="an origin, such as https://app.example",
    ),
]
FieldName = Annotated[
    str,
    Meta(
        max_length=128,
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z",
        description="the name of an HTTP header, such as api-key",
    ),
]
Instruction = Annotated[str, Meta(min_length=1, max_length=4000, description="1 to 4,000 characters")]
Marker = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"\S",
        description="a string of 1 to 128 characters, not just spaces",
    ),
]
MarkerOrNone = Annotated[
    str,
    Meta(max_length=128, pattern=r"\S|^\Z", description='"" or at most 128 characters, not just spaces'),
]
Pair = tuple[Marker, Marker]
Wrapper = tuple[MarkerOrNone, Marker]


class ConfigError(Exception):
    """A mistake in the configuration, reported in one line: what to correct, and where.

    ``<file or variable>: <key>: expected <what>, found <what>``, without the key where there is none; where
    *found* is empty, *expected* is a text of its own. Whatever the parts hold, the text is one printable
    line. Who raises it keeps secrets out of *found*.
    """

    def __init__(self, where: str, key: str, expected: str, found: str = "") -> None:
        what = f"expected {expected}, found {found}" if found else expected
        line = ": ".join(part for part in (where, key, what) if part)
        super().__init__("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: immutable; unknown keys are mistakes."""


class ServerConfig(_Section, frozen=True, kw_only=True):
    """``[server]``: the listening side."""

    host: Host = "127.0.0.1"
    """Address to listen on; loopback unless asked otherwise."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """TCP port; 0 lets the system choose."""
    stream_format: FormatName = "phases"
    """Format of the answer where the request names none."""
    heartbeat: Seconds = 15.0
    """Longest silence towards a client before an SSE comment is sent."""
    request_timeout: Seconds = 900.0
    """Deadline of a whole request, all its attempts included."""
    write_timeout: Seconds = 20.0
    """A client that takes nothing for this long is cut off."""
    graceful_timeout: Seconds = 30.0
    """Time running streams get to finish after SIGTERM."""
    max_body: Count = 33_554_432
    """Largest request body."""
    max_bodies: Count = 268_435_456
    """All request bodies in flight together; beyond it 503 ``overloaded``."""
    max_event: Count = 16_777_216
    """Largest event of an upstream."""
    max_answer: Count = 16_777_216
    """Largest answer that is gathered whole (``"stream": false``); beyond it 502 ``answer_too_large``."""
    max_held: Count = 268_435_456
    """Large events and gathered answers of all requests together; beyond it 502 ``answer_too_large``."""
    allowed_hosts: tuple[HostName, ...] = ()
    """Names, besides the usual local ones, that ``Host`` may bear where the gateway listens on loopback.
    Example: ``["gateway.lan"]``."""
    learn_start: bool = True
    """Whether answers may teach that a model's text begins inside reasoning."""
    max_streams: Count = 2000
    """Streams at a time; one more is refused with 503 ``overloaded``."""
    allow_unlisted: bool = True
    """Whether a model that no entry names goes to the first upstream (else 404)."""
    api_keys_file: str = ""
    """File of client keys; empty: no keys are asked for."""
    cors_origins: tuple[Origin, ...] = ()
    """Origins, besides the gateway's own, whose web pages may use it, over HTTP and WebSocket."""


class BreakerConfig(_Section, frozen=True, kw_only=True):
    """``[upstreams.NAME.breaker]``: when an upstream is left alone, and for how long."""

    window: Seconds = 30.0
    """Span of the sliding window the rates are taken over."""
    window_calls: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """If set, the window is the last so many calls instead of a span of time."""
    min_calls: Count = 10
    """Calls the window must hold before a rate may trip."""
    failure_rate: Rate = 0.5
    consecutive: CountOrOff = 5
    """Failures in a row that trip at once; 0 switches this rule off."""
    slow_after: Seconds = 30.0
    """A first event later than this makes the call a slow one."""
    slow_rate: Rate = 0.8
    open_base: Seconds = 5.0
    """First time a tripped breaker stays open; doubles at every reopening."""
    open_cap: Seconds = 60.0
    jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """The open time is spread by up to this part of itself, both ways."""
    probes: Count = 1
    """Trial calls at a time while half-open, and successes needed to close."""
    probe_timeout: Seconds = 15.0
    max_half_open: Seconds = 30.0
    on_trip: Literal["unstarted", "all"] = "unstarted"
    """Which requests a trip cancels: those without a first event, or all."""
    force: Literal["", "open", "closed"] = ""
    """Holds the breaker in one state by hand."""


class UpstreamConfig(_Section, frozen=True, kw_only=True):
    """``[upstreams.NAME]``: one model server."""

    url: Url
    """Base URL of its API; without a path ``/v1`` is added. A query stays (Azure's ``?api-version=…``)."""
    api_key_env: str = ""
    """Environment variable that holds its key."""
    api_key_file: str = ""
    """File that holds its key."""
    api_key_header: FieldName = "Authorization"
    """Header of the key: ``Authorization`` with ``Bearer``, any other the bare key (``api-key`` of Azure)."""
    ca_file: str = ""
    """File of certificates to trust besides the system's and those of ``SSL_CERT_FILE``."""
    proxy: str = ""
    """URL of an HTTP proxy to reach it by; empty: none."""
    pass_through_key: bool = False
    """Send it the client's own ``Authorization`` instead of a key of ours."""
    connect_timeout: Seconds = 5.0
    first_event_timeout: Seconds = 120.0
    """From the request's start to the first event."""
    queue_timeout: Seconds = 600.0
    """The same while the upstream sends comments: it queues the request."""
    idle_timeout: Seconds = 60.0
    """Longest silence between two events; comments do not count as events."""
    max_concurrency: Count = 2000
    """Requests at a time; one more is shed with 503 ``overloaded``."""
    max_attempts: Count = 2
    """Tries a request makes here, the first included."""
    ask_usage: bool = True
    """Ask for token counts (``stream_options.include_usage``) in every request."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)


class ModelConfig(_Section, frozen=True, kw_only=True):
    """``[models.ID]``: how a model is reached and how its reasoning is separated from its answer.

    A family in ``DEFAULT_MODELS`` is one of these too, with ``match`` set. An entry of the
    configuration file starts from its family's values and overrides them key by key.

    Raises:
        ConfigError: a value has a wrong type, or is out of its range.
    """

    match: str = ""
    """Regular expression searched in the requested id, case-insensitive; empty: the entry's id, exactly.
    Example: ``"^qwen3"``."""
    family: str = ""
    """Name of the family the reasoning rules come from. Example: ``"deepseek-r1"``."""
    upstreams: Annotated[tuple[str, ...], Meta(min_length=1)] = ()
    """Upstreams in order: when one fails the next takes over. Not set: for ``default`` all of the file, in
    its order; for any other entry the first. Example: ``["main", "spare"]``."""
    upstream_model: str = ""
    """What the model is called upstream; empty: as the client called it. Example: ``"Qwen/Qwen3-8B"``."""
    markers: tuple[Pair, ...] = ()
    """Start and end markers of a reasoning block. Example: ``[["<think>", "</think>"]]``."""
    starts_in_reasoning: bool | Literal["when_thinking"] = False
    """The chat template has opened the block already, so the text begins inside it: always, never, or
    only for a request that switches thinking on. Example: ``true`` for DeepSeek-R1."""
    prose_starts: tuple[Marker, ...] = ()
    """Words that open reasoning told in prose. Example: ``["Let me think"]``."""
    prose_ends: tuple[Marker, ...] = ()
    """Words that end it and open the answer. Example: ``["Therefore,"]``."""
    prose_hold: Annotated[int, Meta(ge=0, le=100_000)] = 400
    """Characters after a prose end within which the model may still take it back."""
    wrappers: tuple[Wrapper, ...] = ()
    """Markers around the answer that are dropped; an empty opener means a closing token alone.
    Example: ``[["<answer>", "</answer>"]]``."""
    label: MarkerOrNone = ""
    """Text right after a start marker that is dropped. Example: ``"thought\\n"`` for Gemma 4."""
    tool_markers: tuple[Marker, ...] = ()
    """Markers of a tool call in the text, which end open reasoning. Example: ``["<tool_call>"]``."""
    dialect: Literal["tags", "harmony"] = "tags"
    """``"harmony"`` for the channel format of gpt-oss."""
    keep_reasoning: bool = False
    """Leave old reasoning in the history: models trained to see it (MiniMax-M2) need it."""
    thinking_switch: Literal["", "enable_thinking", "thinking"] = ""
    """Chat-template argument that ``reasoning_effort`` ``none`` and ``minimal`` are turned into."""
    hedge_after: SecondsOrOff = 0.0
    """Without a first event for this long, ask the next upstream as well; 0: off."""
    max_reasoning_seconds: SecondsOrOff = 0.0
    max_reasoning_chars: CountOrOff = 0
    """Limits of one attempt's thinking; 0: none."""
    repetition_guard: bool = False
    """End an attempt whose reasoning runs in a circle."""
    on_runaway: Literal["error", "next", "no_thinking"] = "error"
    """What follows when a limit of thinking is hit."""

    def __post_init__(self) -> None:
        """Check the fields that differ from their defaults, and make lists the tuples they stand for."""
        for name, usual, kind in _MODEL_FIELDS:
            value = getattr(self, name)
            if value == usual:
                continue
            try:
                force_setattr(self, name, msgspec.convert(value, kind))
            except msgspec.ValidationError as error:
                path, expected, found = blame(str(error), inspect.type_info(kind), value, (name,))
                raise ConfigError("ModelConfig", dotted(path), expected, found) from None


_MODEL_TYPES = get_type_hints(ModelConfig, include_extras=True)
_MODEL_FIELDS = tuple((each.name, each.default, _MODEL_TYPES[each.name]) for each in fields(ModelConfig))


class SummaryConfig(_Section, frozen=True, kw_only=True):
    """``[summary]``: who writes the summaries, and how often."""

    prompt: Literal["extractive", "model", "off"] = "extractive"
    reasoning: Literal["extractive", "model", "off"] = "extractive"
    interval: Annotated[float, Meta(ge=0.05, le=1e9)] = 2.0
    """While the model thinks, at most this long without a new line, if there is something new."""
    upstream: str = ""
    """Upstream of the summarising model; empty: the first of the file."""
    model: str = ""
    timeout: Seconds = 4.0
    """How long the model is asked; when the interval has passed the extractive line goes out all the same."""
    prompt_instruction: Instruction = PROMPT
    """What the model is told before it is shown a prompt."""
    reasoning_instruction: Instruction = REASONING
    """What it is told before it is shown reasoning."""


class GatewayConfig(_Section, frozen=True, kw_only=True):
    """Everything, checked. ``models`` keeps the file's order, which is the order they are matched in."""

    server: ServerConfig = field(default_factory=ServerConfig)
    upstreams: dict[str, UpstreamConfig] = field(default_factory=dict)
    models: dict[str, ModelConfig] = field(default_factory=dict)
    summary: SummaryConfig = field(default_factory=SummaryConfig)
