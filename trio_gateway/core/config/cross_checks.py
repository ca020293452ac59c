"""Cross checks: verify references, URLs, families and keys between the tables."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from .families import DEFAULT_MODELS, family_of
from .keyfile import parse_keys
from .match_patterns import expectation_missed
from .schema import ConfigError
from .tables import quote

if TYPE_CHECKING:
    from .keyfile import ClientKey
    from .schema import BreakerConfig, GatewayConfig, ModelConfig, ServerConfig, SummaryConfig, UpstreamConfig
    from .tables import KeyPath, Tables

__all__ = ["KEY_WAYS", "base_url", "client_keys", "complete", "secret_variable", "upstream_key"]

KEY_WAYS: Final = ("api_key_env", "api_key_file", "pass_through_key")
# What lacks nothing but its scheme, and can be no key put in the wrong place, so that it may be shown.
_LOCAL: Final = re.compile(r"(?:localhost|[A-Za-z0-9.-]{1,60}:[0-9]{1,5})(?:/[A-Za-z0-9/._-]{0,100})?")
_CHAT: Final = "/chat/completions"
_KEYS_FILE: Final = ("server", "api_keys_file")


def complete(config: GatewayConfig, tables: Tables) -> GatewayConfig:
    upstreams = {name: _complete_upstream(name, entry, tables) for name, entry in config.upstreams.items()}
    known = [*upstreams]
    models = {name: _complete_model(name, entry, known, tables) for name, entry in config.models.items()}
    _check_summary(config.summary, known, tables)
    server = config.server
    if server.api_keys_file:
        server = replace(server, api_keys_file=tables.locate(_KEYS_FILE, server.api_keys_file))
    return replace(config, server=server, upstreams=upstreams, models=models)


def client_keys(server: ServerConfig, tables: Tables) -> tuple[ClientKey, ...] | None:
    """The keys of a completed configuration; None: it has none."""
    file = server.api_keys_file
    return parse_keys(tables.read(_KEYS_FILE, file), file) if file else None


def _complete_upstream(name: str, upstream: UpstreamConfig, tables: Tables) -> UpstreamConfig:
    path = ("upstreams", name)
    if not name.strip():
        raise tables.error(path, "an id", "an empty one")
    _check_breaker(upstream.breaker, (*path, "breaker"), tables)
    try:
        return replace(upstream, url=base_url(upstream.url))
    except ValueError as error:
        url, setting = upstream.url, tables.setting((*path, "url"))
        if _LOCAL.fullmatch(url):
            is_variable = setting == "UPSTREAM_URL"
            advice = f"{setting}={url}" if is_variable else f"{setting} = {quote(url)}"
            where = tables.file if setting.startswith("upstreams.") else ""
            raise ConfigError(where, "", f"{advice}: write http://{url}") from None
        expected = "a URL of http or https with a host, without user and fragment"
        raise tables.error((*path, "url"), expected, str(error)) from None


def _check_breaker(breaker: BreakerConfig, path: KeyPath, tables: Tables) -> None:
    if breaker.window_calls and "window" in tables.table(path):
        raise tables.error((*path, "window_calls"), "either window or window_calls", "both")
    if 0 < breaker.window_calls < breaker.min_calls:
        expected = f"at most window_calls, which is {breaker.window_calls}"
        raise tables.error((*path, "min_calls"), expected, str(breaker.min_calls))
    if breaker.open_cap < breaker.open_base:
        expected = f"at least open_base, which is {breaker.open_base:.12g}"
        raise tables.error((*path, "open_cap"), expected, f"{breaker.open_cap:.12g}")


def _complete_model(name: str, entry: ModelConfig, upstreams: list[str], tables: Tables) -> ModelConfig:
    path = ("models", name)
    if not name.strip():
        raise tables.error(path, "an id", "an empty one")
    for index, upstream in enumerate(entry.upstreams):
        _check_upstream((*path, "upstreams", index), upstream, upstreams, tables)
        if upstream in entry.upstreams[:index]:
            raise tables.error((*path, "upstreams", index), "each upstream once", f"{quote(upstream)} again")
    for key, pairs in (("markers", entry.markers), ("wrappers", entry.wrappers)):
        for index, (start, end) in enumerate(pairs):
            if start == end:
                raise tables.error((*path, key, index), "a start that differs from its end", quote(start))
    if expected := expectation_missed(entry.match):
        raise tables.error((*path, "match"), expected, quote(entry.match))
    merged = _merge(name, entry, upstreams, tables)
    if merged.on_runaway == "no_thinking" and not merged.thinking_switch:
        expected = 'a switch, since on_runaway is "no_thinking"'
        raise tables.error((*path, "thinking_switch"), expected, '""')
    return merged


def _merge(name: str, entry: ModelConfig, upstreams: list[str], tables: Tables) -> ModelConfig:
    """The family's rules, overridden by the keys that the entry itself sets."""
    own: dict[str, Any] = {key: getattr(entry, key) for key in tables.table(("models", name))}
    own.pop("family", None)
    own.setdefault("match", "")
    own.setdefault("upstreams", tuple(upstreams if name == "default" else upstreams[:1]))
    if "markers" in own:  # who knows the model's markers need not guess from its prose
        own.setdefault("prose_starts", ())
    return replace(_family(name, entry, tables), **own)


def _family(name: str, entry: ModelConfig, tables: Tables) -> ModelConfig:
    """The family that the entry names, else that of the model it reaches. Where that is unknown, the entry
    ``default`` takes the family of its own name, which guesses from prose."""
    if entry.family:
        if entry.family not in DEFAULT_MODELS:
            near = difflib.get_close_matches(entry.family, DEFAULT_MODELS, 3) or list(DEFAULT_MODELS)[:3]
            expected = f"a family, such as {', '.join(map(quote, near))}"
            raise tables.error(("models", name, "family"), expected, quote(entry.family))
        return DEFAULT_MODELS[entry.family]
    family = family_of(entry.upstream_model or name)
    return family_of(name) if name == "default" and not family.family else family


def _check_upstream(path: KeyPath, upstream: str, upstreams: list[str], tables: Tables) -> None:
    if upstream not in upstreams:
        known = " or ".join(map(quote, upstreams[:8]))
        raise tables.error(path, f"an upstream of the configuration, {known}", quote(upstream))


def _check_summary(summary: SummaryConfig, upstreams: list[str], tables: Tables) -> None:
    if summary.upstream:
        _check_upstream(("summary", "upstream"), summary.upstream, upstreams, tables)
    for phase in ("prompt", "reasoning"):
        if getattr(summary, phase) == "model" and not summary.model:
            raise tables.error(("summary", "model"), f'a model, since summary.{phase} is "model"', '""')


def upstream_key(name: str, upstream: UpstreamConfig, tables: Tables) -> str | None:
    ways = [way for way in KEY_WAYS if getattr(upstream, way)]
    path = ("upstreams", name, ways[-1] if ways else "api_key_env")
    if len(ways) > 1:
        raise tables.error(path, f"only one of {', '.join(KEY_WAYS)}", f"{ways[0]} as well")
    if upstream.api_key_file:
        key: str | None = tables.read(path, tables.locate(path, upstream.api_key_file)).strip()
    else:
        key = _key_variable(upstream.api_key_env, path, tables)
    if key is None or re.fullmatch("[!-~]+", key):
        return key
    found = "a space, a control character or one outside ASCII" if key else "an empty file"
    raise tables.error(path, "a key of printable ASCII characters without spaces", found)


def _key_variable(name: str, path: KeyPath, tables: Tables) -> str | None:
    """What the variable *name* holds, or the file that its twin ``*_KEY_FILE`` names.

    Only ``UPSTREAM_API_KEY`` may be unset. The message does not tell a name that is no variable's: it may be
    a key put in the wrong place.
    """
    key = secret_variable(name, path, tables) if name.endswith("_KEY") else tables.variables.get(name)
    if key is None and name not in ("", "UPSTREAM_API_KEY"):
        raise tables.error(path, "the name of a variable that is set", "one that is not set")
    return key


def secret_variable(name: str, path: KeyPath, tables: Tables) -> str | None:
    """The value of the variable *name*, or the text of the file that ``<name>_FILE`` names; None: neither.

    Container platforms hand secrets out as files. *path*: the value that names the variable, for messages;
    empty: none does.

    Raises:
        ConfigError: both are set, or the file cannot be read.
    """
    variables, twin = tables.variables, f"{name}_FILE"
    if twin not in variables:
        return variables.get(name)
    if name in variables:
        expected = f"only one of {name} and {twin}"
        raise tables.error(path, expected, "both") if path else ConfigError(twin, "", expected, "both")
    return tables.read(path, variables[twin], variable=twin).strip()


_OF_REQUESTS: Final = "/chat/completions"


def base_url(url: str) -> str:
    """The base of an API, without a slash at its end: *url* itself, with ``/v1`` where it has no path.

    A path that ends in ``/chat/completions`` is that of a request: it is cut there. A query stays.

    >>> base_url("http://localhost:9000"), base_url("https://host/v1beta/openai/")
    ('http://localhost:9000/v1', 'https://host/v1beta/openai')
    >>> base_url("https://host/v1/chat/completions?api-version=1")
    'https://host/v1?api-version=1'
    >>> base_url("https://host/chat/completions")
    'https://host/'

    Raises:
        ValueError: not such a URL; the text says why without quoting it, as it may hold a password.
    """
    if not re.fullmatch(r"[!-\[\]-~]+", url):
        raise ValueError("a character that no URL holds")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a malformed host or port") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("no http:// or https:// at its head")
    if "@" in parts.netloc:
        raise ValueError("a user or a password")
    if not host:
        raise ValueError("no host")
    if "#" in url:
        raise ValueError("a fragment")
    path = parts.path.rstrip("/")
    path = path.removesuffix(_OF_REQUESTS).rstrip("/") if path.endswith(_OF_REQUESTS) else path or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}{'?' if parts.query else ''}{parts.query}"
