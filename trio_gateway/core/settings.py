"""Reading the configuration: a TOML file and environment variables become checked values.

The file is parsed into plain tables. Variables are laid over them (environment beats file beats default), and
which value came from which variable is noted, so that a mistake is blamed on the right place. The tables are
then checked against the structs of :mod:`trio_gateway.core.config`, checked across sections, and completed:
full URLs, the upstreams' keys, the reasoning rules of each model's family. Every mistake is a
:class:`ConfigError`; the first one found is told. No message holds a key, nor a value that could be one put
in the wrong place.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from .config import (
    BreakerConfig,
    ConfigError,
    GatewayConfig,
    ModelConfig,
    ServerConfig,
    SummaryConfig,
    UpstreamConfig,
)
from .families import DEFAULT_MODELS, family_of
from .keyfile import parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ConfigError", "Settings", "base_url", "load_settings", "resolve_model"]

KeyPath = tuple[str | int, ...]

_DEFAULT_URL: Final = "http://localhost:9000"
_LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_KEY_WAYS: Final = ("api_key_env", "api_key_file", "pass_through_key")

# Where a variable's value goes. A key never enters the tables, only the name of its variable does.
_VARIABLES: Final[Mapping[str, KeyPath]] = {
    "HOST": ("server", "host"),
    "PORT": ("server", "port"),
    "GATEWAY_API_KEYS_FILE": ("server", "api_keys_file"),
    "UPSTREAM_URL": ("upstreams", "main", "url"),
    "UPSTREAM_API_KEY": ("upstreams", "main", "api_key_env"),
    "UPSTREAM_API_KEY_FILE": ("upstreams", "main", "api_key_env"),
    "UPSTREAM_MODEL": ("models", "default", "upstream_model"),
}

# Keys that are read and checked, but that nothing acts on yet: (section, key, values that ask for nothing).
_NOT_YET: Final[tuple[tuple[type, str, tuple[object, ...]], ...]] = (
    (ServerConfig, "stream_format", ("phases",)),
    (ServerConfig, "api_keys_file", ("",)),
    (ServerConfig, "cors_origins", ((),)),
    (ModelConfig, "hedge_after", (0.0,)),
    (ModelConfig, "max_reasoning_seconds", (0.0,)),
    (ModelConfig, "max_reasoning_chars", (0,)),
    (ModelConfig, "repetition_guard", (False,)),
    (ModelConfig, "on_runaway", ("error",)),
    (SummaryConfig, "prompt", ("extractive", "off")),
    (SummaryConfig, "reasoning", ("extractive", "off")),
)
_VARIABLES_NOT_YET: Final = ("REDIS_URL",)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked and complete."""

    config: GatewayConfig
    """Each upstream's ``url`` is the full base; each model's entry holds its family's rules and upstreams."""
    keys: Mapping[str, str | None] = field(repr=False)
    """Upstream id to the key it is called with; ``None``: without one, or with the client's own."""
    warnings: tuple[str, ...] = ()
    """Lines to log once at the start."""
    log_level: str = "info"
    """One of debug, info, warning, error, critical."""


def load_settings(
    environ: Mapping[str, str], *, config_path: str | None = None, read_text: Callable[[str], str]
) -> Settings:
    """Read the configuration that *environ* and the file at *config_path* (else ``GATEWAY_CONFIG``) describe.

    Files are read through *read_text* alone: it takes a path, and raises ``OSError``, or ``ValueError`` for
    what is not UTF-8. A variable that is set to nothing counts as unset.

    Raises:
        ConfigError: the first mistake found.
    """
    variables = {name: value for name, value in environ.items() if value}
    file = config_path or variables.get("GATEWAY_CONFIG", "")
    tables = _Tables(file, variables, read_text)
    warnings = _lay_over(tables)
    tables.check(cast("inspect.StructType", inspect.type_info(GatewayConfig)), tables.root, ())
    config = _complete(msgspec.convert(tables.root, GatewayConfig), tables)
    keys = {name: _upstream_key(name, upstream, tables) for name, upstream in config.upstreams.items()}
    warnings += [*_ignored(config, variables), *_without_effect(config, variables)]
    return Settings(config, keys, tuple(warnings), _log_level(variables))


def resolve_model(config: GatewayConfig, model_id: str) -> ModelConfig | None:
    """The entry that serves *model_id*: of that very id, else the first whose ``match`` is found in it, else,
    where unlisted models are allowed, the id's family on the first upstream. ``None``: no such model.

    *config* is that of :class:`Settings`.
    """
    if model_id in config.models:
        return config.models[model_id]
    for entry in config.models.values():
        if entry.match and re.search(entry.match, model_id, re.IGNORECASE):
            return entry
    if not config.server.allow_unlisted:
        return None
    return replace(family_of(model_id), match="", upstreams=(next(iter(config.upstreams)),))


def base_url(url: str) -> str:
    """The base of an API, without a slash at its end: *url* itself, with ``/v1`` where it has no path.

    >>> base_url("http://localhost:9000"), base_url("https://host/v1beta/openai/")
    ('http://localhost:9000/v1', 'https://host/v1beta/openai')

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
    if "?" in url or "#" in url:
        raise ValueError("a query or a fragment")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


# Laying the environment over the file


def _lay_over(tables: _Tables) -> list[str]:
    """Put the variables and the entries that need no writing into the tables; gives warnings."""
    warnings: list[str] = []
    tables.table(("models", "default"))
    upstreams = tables.table(("upstreams",))
    has_main = "main" in upstreams or not upstreams
    if has_main:
        tables.table(("upstreams", "main")).setdefault("url", _DEFAULT_URL)
    for name, path in _VARIABLES.items():
        text = tables.variables.get(name)
        if text is None or (name.startswith("UPSTREAM_") and not has_main):
            continue
        if not text.isprintable():
            raise ConfigError(name, _dotted(path), "printable text", "a control character or broken UTF-8")
        value: str | int = text
        if path[-1] == "api_key_env":
            warnings += _overrule_key(tables.table(path[:-1]), name)
            value = "UPSTREAM_API_KEY"
        elif name == "PORT" and re.fullmatch("[0-9]{1,9}", text):
            value = int(text)
        tables.put(path, value, name)
    return warnings


def _overrule_key(main: dict[str, Any], variable: str) -> list[str]:
    own = [way for way in _KEY_WAYS if main.pop(way, "") not in ("", False, "UPSTREAM_API_KEY")]
    return [f"{variable} takes the place of upstreams.main.{way}" for way in own]


def _log_level(variables: Mapping[str, str]) -> str:
    level = variables.get("LOG_LEVEL", "info")
    if level.lower() not in _LOG_LEVELS:
        raise ConfigError("LOG_LEVEL", "", f"one of {', '.join(_LOG_LEVELS)}", _quote(level))
    return level.lower()


# Checking across sections, and completing


def _complete(config: GatewayConfig, tables: _Tables) -> GatewayConfig:
    upstreams = {name: _complete_upstream(name, entry, tables) for name, entry in config.upstreams.items()}
    known = [*upstreams]
    models = {name: _complete_model(name, entry, known, tables) for name, entry in config.models.items()}
    _check_summary(config.summary, known, tables)
    server = _complete_server(config.server, tables)
    return replace(config, server=server, upstreams=upstreams, models=models)


def _complete_server(server: ServerConfig, tables: _Tables) -> ServerConfig:
    if not server.api_keys_file:
        return server
    path = ("server", "api_keys_file")
    file = tables.locate(path, server.api_keys_file)
    parse_keys(tables.read(path, file), file)
    return replace(server, api_keys_file=file)


def _complete_upstream(name: str, upstream: UpstreamConfig, tables: _Tables) -> UpstreamConfig:
    path = ("upstreams", name)
    if not name.strip():
        raise tables.error(path, "an id", "an empty one")
    _check_breaker(upstream.breaker, (*path, "breaker"), tables)
    try:
        return replace(upstream, url=base_url(upstream.url))
    except ValueError as error:
        expected = "a URL of http or https with a host, without user, query and fragment"
        raise tables.error((*path, "url"), expected, str(error)) from None


def _check_breaker(breaker: BreakerConfig, path: KeyPath, tables: _Tables) -> None:
    if breaker.window_calls and "window" in tables.table(path):
        raise tables.error((*path, "window_calls"), "either window or window_calls", "both")
    if 0 < breaker.window_calls < breaker.min_calls:
        expected = f"at most window_calls, which is {breaker.window_calls}"
        raise tables.error((*path, "min_calls"), expected, str(breaker.min_calls))
    if breaker.open_cap < breaker.open_base:
        expected = f"at least open_base, which is {breaker.open_base:.12g}"
        raise tables.error((*path, "open_cap"), expected, f"{breaker.open_cap:.12g}")


def _complete_model(name: str, entry: ModelConfig, upstreams: list[str], tables: _Tables) -> ModelConfig:
    path = ("models", name)
    if not name.strip():
        raise tables.error(path, "an id", "an empty one")
    for index, upstream in enumerate(entry.upstreams):
        _check_upstream((*path, "upstreams", index), upstream, upstreams, tables)
        if upstream in entry.upstreams[:index]:
            raise tables.error((*path, "upstreams", index), "each upstream once", f"{_quote(upstream)} again")
    for key, pairs in (("markers", entry.markers), ("wrappers", entry.wrappers)):
        for index, (start, end) in enumerate(pairs):
            if start == end:
                raise tables.error((*path, key, index), "a start that differs from its end", _quote(start))
    try:
        re.compile(entry.match)
    except (re.error, OverflowError, RecursionError):
        raise tables.error((*path, "match"), "a regular expression", _quote(entry.match)) from None
    merged = _merge(name, entry, upstreams, tables)
    if merged.on_runaway == "no_thinking" and not merged.thinking_switch:
        expected = 'a switch, since on_runaway is "no_thinking"'
        raise tables.error((*path, "thinking_switch"), expected, '""')
    return merged


def _merge(name: str, entry: ModelConfig, upstreams: list[str], tables: _Tables) -> ModelConfig:
    """The family's rules, overridden by the keys that the entry itself sets."""
    own: dict[str, Any] = {key: getattr(entry, key) for key in tables.table(("models", name))}
    own.setdefault("match", "")
    own.setdefault("upstreams", tuple(upstreams if name == "default" else upstreams[:1]))
    if "markers" in own:  # who knows the model's markers need not guess from its prose
        own.setdefault("prose_starts", ())
    return replace(_family(name, entry, tables), **own)


def _family(name: str, entry: ModelConfig, tables: _Tables) -> ModelConfig:
    """The family that the entry names, else that of the model it reaches. Where that is unknown, the entry
    ``default`` takes the family of its own name, which guesses from prose."""
    if entry.family:
        if entry.family not in DEFAULT_MODELS:
            near = difflib.get_close_matches(entry.family, DEFAULT_MODELS, 3) or list(DEFAULT_MODELS)[:3]
            expected = f"a family, such as {', '.join(map(_quote, near))}"
            raise tables.error(("models", name, "family"), expected, _quote(entry.family))
        return DEFAULT_MODELS[entry.family]
    family = family_of(entry.upstream_model or name)
    return family_of(name) if name == "default" and family == family_of("") else family


def _check_upstream(path: KeyPath, upstream: str, upstreams: list[str], tables: _Tables) -> None:
    if upstream not in upstreams:
        known = " or ".join(map(_quote, upstreams[:8]))
        raise tables.error(path, f"an upstream of the configuration, {known}", _quote(upstream))


def _check_summary(summary: SummaryConfig, upstreams: list[str], tables: _Tables) -> None:
    if summary.upstream:
        _check_upstream(("summary", "upstream"), summary.upstream, upstreams, tables)
    for phase in ("prompt", "reasoning"):
        if getattr(summary, phase) == "model" and not summary.model:
            raise tables.error(("summary", "model"), f'a model, since summary.{phase} is "model"', '""')


# The upstreams' keys


def _upstream_key(name: str, upstream: UpstreamConfig, tables: _Tables) -> str | None:
    ways = [way for way in _KEY_WAYS if getattr(upstream, way)]
    path = ("upstreams", name, ways[-1] if ways else "api_key_env")
    if len(ways) > 1:
        raise tables.error(path, f"only one of {', '.join(_KEY_WAYS)}", f"{ways[0]} as well")
    if upstream.api_key_file:
        key: str | None = tables.read(path, tables.locate(path, upstream.api_key_file)).strip()
    else:
        key = _key_variable(upstream.api_key_env, path, tables)
    if key is None or re.fullmatch("[!-~]+", key):
        return key
    found = "a space, a control character or one outside ASCII" if key else "an empty file"
    raise tables.error(path, "a key of printable ASCII characters without spaces", found)


def _key_variable(name: str, path: KeyPath, tables: _Tables) -> str | None:
    """What the variable *name* holds, or the file that its twin ``*_KEY_FILE`` names.

    Only ``UPSTREAM_API_KEY`` may be unset. The message does not tell a name that is no variable's: it may be
    a key put in the wrong place.
    """
    variables = tables.variables
    twin = f"{name}_FILE" if name.endswith("_KEY") else ""
    if twin in variables:
        if name in variables:
            raise tables.error(path, f"only one of {name} and {twin}", "both")
        return tables.read(path, variables[twin], variable=twin).strip()
    if name in ("", "UPSTREAM_API_KEY") or name in variables:
        return variables.get(name)
    raise tables.error(path, "the name of a variable that is set", "one that is not set")


# Warnings


def _ignored(config: GatewayConfig, variables: Mapping[str, str]) -> Iterator[str]:
    if "main" in config.upstreams:
        return
    used = {upstream.api_key_env for upstream in config.upstreams.values()}
    for name in _VARIABLES:
        if name.startswith("UPSTREAM_") and name in variables and name.removesuffix("_FILE") not in used:
            yield f"{name} is ignored: it is about the upstream main, and the file names only others"


def _without_effect(config: GatewayConfig, variables: Mapping[str, str]) -> Iterator[str]:
    sections: list[tuple[KeyPath, object]] = [(("server",), config.server), (("summary",), config.summary)]
    sections += [(("models", name), entry) for name, entry in config.models.items()]
    for path, section in sections:
        for kind, key, working in _NOT_YET:
            if isinstance(section, kind) and getattr(section, key) not in working:
                yield f"{_dotted((*path, key))} has no effect yet"
    for name in _VARIABLES_NOT_YET:
        if name in variables:
            yield f"{name} has no effect yet"


# The raw tables, checked against the structs


class _Tables:
    """The file's raw tables, and which of their values came from which variable."""

    def __init__(self, file: str, variables: Mapping[str, str], read_text: Callable[[str], str]) -> None:
        self.file = file
        self.variables = variables
        self._read_text = read_text
        self._origins: dict[KeyPath, str] = {}
        self.root: dict[str, Any] = _parse_toml(self.read((), file), file) if file else {}

    def error(self, path: KeyPath, expected: str, found: str) -> ConfigError:
        return ConfigError(self._origins.get(path, self.file), _dotted(path), expected, found)

    def table(self, path: KeyPath) -> dict[str, Any]:
        """The table at *path*, made where it is missing."""
        table: Any = self.root
        for depth, step in enumerate(path, 1):
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise self.error(path[:depth], "a table", _found(path[:depth], table))
        return cast("dict[str, Any]", table)

    def put(self, path: KeyPath, value: str | int, variable: str) -> None:
        self.table(path[:-1])[str(path[-1])] = value
        self._origins[path] = variable

    def locate(self, path: KeyPath, name: str) -> str:
        """The file that the value at *path* names: a relative one lies beside the configuration file, unless
        the value came from a variable."""
        return name if path in self._origins else str(PurePath(self.file).parent / name)

    def read(self, path: KeyPath, name: str, *, variable: str = "") -> str:
        """The text of the file *name*, which the value at *path*, or *variable*, asks for."""
        try:
            return self._read_text(name)
        except OSError as error:
            reason = error.strerror or "one that cannot be read"
        except ValueError:  # not UTF-8, or a name that no system takes
            reason = "one that is not UTF-8 text"
        where = variable or self._origins.get(path, self.file)
        raise ConfigError(where, _dotted(path), "a readable file", reason)

    def check(self, info: inspect.StructType | inspect.DictType, value: object, path: KeyPath) -> None:
        """Find the first mistake in the table *value*, and in the tables within it.

        Keys are looked at here and the other values by msgspec, whose messages say where in a struct the
        mistake is, but neither which entry of a table of tables it is in, nor the whole range.
        """
        if not isinstance(value, dict):
            raise self.error(path, "a table", _found(path, value))
        if isinstance(info, inspect.DictType):
            for key, item in value.items():
                self.check(cast("inspect.StructType", info.value_type), item, (*path, key))
            return
        self._check_keys(info, value, path)
        for member in info.fields:
            if member.name in value and isinstance(member.type, inspect.StructType | inspect.DictType):
                self.check(member.type, value[member.name], (*path, member.name))
        try:
            msgspec.convert(value, info.cls)
        except msgspec.ValidationError as error:
            raise self._blame(str(error), info, value, path) from None

    def _check_keys(self, info: inspect.StructType, table: dict[str, Any], path: KeyPath) -> None:
        known = {member.name: member for member in info.fields}
        for key in table:
            if key not in known:
                near = "".join(f", perhaps {name}" for name in difflib.get_close_matches(key, known, 1))
                raise self.error((*path, key), f"a key that the gateway knows{near}", _quote(key))
        for name, member in known.items():
            if member.required and name not in table:
                raise self.error((*path, name), _expected(member.type), "nothing")

    def _blame(self, message: str, info: inspect.Type, table: dict[str, Any], path: KeyPath) -> ConfigError:
        value: Any = table
        # The message ends in: - at `$.markers[0][1]`
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", message.rpartition(" - at `$")[2]):
            step = name or int(index)
            info, value, path = _member(info, step), value[step], (*path, step)
        return self.error(path, _expected(info), _found(path, value))


def _parse_toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).rpartition(" (at ")
        line = re.match(r"line \d+", place)
        at = line.group() if line else f"line {text.count(chr(10)) + 1}"  # at the end of the document
        raise ConfigError(file, at, "TOML", f"a syntax error ({_shorten(reason)})") from None
    except (ValueError, RecursionError):
        raise ConfigError(file, "", "TOML", "a number too long or tables too deep") from None


def _member(info: inspect.Type, step: str | int) -> inspect.Type:
    if isinstance(info, inspect.StructType):
        return next(member.type for member in info.fields if member.name == step)
    if isinstance(info, inspect.TupleType):
        return info.item_types[cast("int", step)]
    return cast("inspect.VarTupleType", info).item_type


def _expected(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(_quote(str(value)) for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(map(_expected, types))
        case inspect.IntType() | inspect.FloatType():
            ends = (("above", info.gt), ("from", info.ge), ("below", info.lt), ("up to", info.le))
            bounds = " ".join(f"{word} {end:.12g}" for word, end in ends if end is not None)
            return f"{'an integer' if isinstance(info, inspect.IntType) else 'a number'} {bounds}"
        case inspect.TupleType():
            return "a pair of strings"
        case inspect.VarTupleType(min_length=least):
            return "an array with at least one item" if least else "an array"
    return "a string"


def _found(path: KeyPath, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return f"an array of {len(value)}"
        case str() | int() | float() if "key" in str(path[-1]) or path[-1] == "url":
            return "a value that is not shown"
        case str():
            return _quote(value)
        case int() if abs(value) >= 10**18:
            return "an integer of many digits"
        case int() | float():
            return repr(value)
    return "a date or a time"


def _quote(text: str) -> str:
    return json.dumps(_shorten(text), ensure_ascii=False)


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _dotted(path: KeyPath) -> str:
    """The path as TOML writes it: ``models."qwen3:8b".markers[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." * bool(text) + (step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else _quote(step))
    return text
