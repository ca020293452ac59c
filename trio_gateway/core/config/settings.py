"""Reading the configuration: a TOML file and environment variables become checked values.

The file is parsed into plain tables. Variables are laid over them (environment beats file beats default), and
which value came from which variable is noted, so that a mistake is blamed on the right place. The tables are
then checked against the structs of :mod:`trio_gateway.core.config.schema`, across sections, and completed:
full URLs, the upstreams' keys, the reasoning rules of each model's family. Every mistake is a
:class:`ConfigError`; the first one found is reported. No message holds a key, nor a value that could be one
put in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  # Settings travel between processes: msgspec reads their hints
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from .addresses import is_loopback
from .cross_checks import KEY_WAYS, base_url, client_keys, complete, secret_variable, upstream_key
from .families import family_of
from .keyfile import ClientKey  # noqa: TC001  # likewise
from .schema import ConfigError, GatewayConfig, ModelConfig
from .tables import Tables, dotted, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .schema import ServerConfig
    from .tables import KeyPath

__all__ = ["ConfigError", "LogFormat", "Settings", "base_url", "load_settings", "resolve_model"]

LogFormat: TypeAlias = Literal["text", "json"]

_DEFAULT_URL: Final = "http://localhost:9000"
_LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

# Where a variable's value goes. A key never enters the tables, only the name of its variable does.
_VARIABLES: Final[Mapping[str, KeyPath]] = {
    "HOST": ("server", "host"),
    "PORT": ("server", "port"),
    "GATEWAY_API_KEYS_FILE": ("server", "api_keys_file"),
    "ALLOWED_HOSTS": ("server", "allowed_hosts"),
    "UPSTREAM_URL": ("upstreams", "main", "url"),
    "UPSTREAM_API_KEY": ("upstreams", "main", "api_key_env"),
    "UPSTREAM_API_KEY_FILE": ("upstreams", "main", "api_key_env"),
    "UPSTREAM_MODEL": ("models", "default", "upstream_model"),
}

_IN_CODE: Final = "config"
"""What messages call tables that are given in code."""

_REDIS_URL: Final = "REDIS_URL"
_REDIS_FORM: Final = "a URL such as redis://host:6379/0 (or rediss://, or unix:///path)"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked and complete."""

    config: GatewayConfig
    """Each upstream's ``url`` is the full base; each model's entry holds its family's rules and upstreams."""
    keys: Mapping[str, str | None] = field(repr=False)
    """Upstream id to the key it is called with; ``None``: without one, or with the client's own."""
    client_keys: tuple[ClientKey, ...] | None = None
    """Keys that clients may show; ``None``: none is asked for."""
    warnings: tuple[str, ...] = ()
    """Lines to log once at the start."""
    log_level: str = "info"
    """One of debug, info, warning, error, critical."""
    log_format: LogFormat | None = None
    """How log lines are written; ``None``: text where stderr is a terminal, else JSON."""
    url_settings: Mapping[str, str] = field(default_factory=dict)
    """Upstream id to what has set its URL: a variable, or a key of the file."""
    redis_url: str | None = field(default=None, repr=False)
    """Where shared state lives, as ``REDIS_URL`` or the file of ``REDIS_URL_FILE`` says; it may hold a
    password."""


def load_settings(
    environ: Mapping[str, str],
    *,
    config_path: str | None = None,
    tables: Mapping[str, Any] | None = None,
    upstream_url: str | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    read_text: Callable[[str], str],
) -> Settings:
    """Read the configuration that *environ* and the file at *config_path* (else ``GATEWAY_CONFIG``) describe.

    *tables* stand in the place of a file. *upstream_url* and *models*, each an entry by its id, beat file and
    environment. Files are read through *read_text* alone: it takes a path, and raises ``OSError``, or
    ``ValueError`` for what is not UTF-8. A variable that is set to nothing counts as unset.

    Raises:
        ConfigError: the first mistake found.
    """
    variables = {name: value for name, value in environ.items() if value}
    if tables is None:
        raw = Tables(config_path or variables.get("GATEWAY_CONFIG", ""), variables, read_text)
    else:
        raw = Tables(_IN_CODE, variables, read_text, cast("dict[str, Any]", _plain(tables, _IN_CODE)))
    for name, entry in (models or {}).items():
        raw.put(("models", name), _plain(entry, f"models[{quote(name)}]"), "models")
    if models and "default" in models:
        raw.overruled.add("UPSTREAM_MODEL")
    if upstream_url is not None:
        raw.put(("upstreams", "main", "url"), upstream_url, "upstream_url")
        raw.overruled.add("UPSTREAM_URL")
    return _settings(raw, variables)


def _plain(value: object, where: str) -> object:
    """A copy of *value* of what TOML has: tables, arrays, strings, numbers."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        raise ConfigError(where, "", "tables, arrays, strings and numbers", "something else") from None


def _settings(tables: Tables, variables: Mapping[str, str]) -> Settings:
    warnings = _lay_over(tables)
    tables.check(cast("inspect.StructType", inspect.type_info(GatewayConfig)), tables.root, ())
    config = complete(msgspec.convert(tables.root, GatewayConfig), tables)
    keys = {name: upstream_key(name, upstream, tables) for name, upstream in config.upstreams.items()}
    redis_url = _redis_url(tables)
    warnings += [*_ignored(config, variables), *_open_to_all(config.server)]
    return Settings(
        config,
        keys,
        client_keys(config.server, tables),
        tuple(warnings),
        _log_level(variables),
        _log_format(variables),
        {name: tables.setting(("upstreams", name, "url")) for name in config.upstreams},
        redis_url,
    )


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
    return _served_by(next(iter(config.upstreams)), family_of(model_id))


@lru_cache(maxsize=256)
def _served_by(upstream: str, family: ModelConfig) -> ModelConfig:
    return replace(family, match="", upstreams=(upstream,))


def _lay_over(tables: Tables) -> list[str]:
    """Put the variables and the entries that need no writing into the tables; gives warnings."""
    warnings: list[str] = []
    tables.table(("models", "default"))
    upstreams = tables.table(("upstreams",))
    has_main = "main" in upstreams or not upstreams
    if has_main and "url" not in tables.table(("upstreams", "main")):
        tables.put(("upstreams", "main", "url"), _DEFAULT_URL, "UPSTREAM_URL")
    for name, path in _VARIABLES.items():
        text = tables.variables.get(name)
        if text is None or name in tables.overruled or (name.startswith("UPSTREAM_") and not has_main):
            continue
        if not text.isprintable():
            raise ConfigError(name, dotted(path), "printable text", "a control character or broken UTF-8")
        value: str | int | list[str] = text
        if path[-1] == "api_key_env":
            warnings += _overrule_key(tables.table(path[:-1]), name)
            value = "UPSTREAM_API_KEY"
        elif name == "PORT" and re.fullmatch("[0-9]{1,9}", text):
            value = int(text)
        elif name == "ALLOWED_HOSTS":
            value = [each.strip() for each in text.split(",")]
        tables.put(path, value, name)
    return warnings


def _overrule_key(main: dict[str, Any], variable: str) -> list[str]:
    own = [way for way in KEY_WAYS if main.pop(way, "") not in ("", False, "UPSTREAM_API_KEY")]
    return [f"{variable} takes the place of upstreams.main.{way}" for way in own]


def _log_level(variables: Mapping[str, str]) -> str:
    level = variables.get("LOG_LEVEL", "info")
    if level.lower() not in _LOG_LEVELS:
        raise ConfigError("LOG_LEVEL", "", f"one of {', '.join(_LOG_LEVELS)}", quote(level))
    return level.lower()


def _log_format(variables: Mapping[str, str]) -> LogFormat | None:
    text = variables.get("LOG_FORMAT")
    if text is None:
        return None
    if text.lower() not in get_args(LogFormat):
        raise ConfigError("LOG_FORMAT", "", f"one of {', '.join(get_args(LogFormat))}", quote(text))
    return cast("LogFormat", text.lower())


def _ignored(config: GatewayConfig, variables: Mapping[str, str]) -> Iterator[str]:
    if "main" in config.upstreams:
        return
    used = {upstream.api_key_env for upstream in config.upstreams.values()}
    for name in _VARIABLES:
        if name.startswith("UPSTREAM_") and name in variables and name.removesuffix("_FILE") not in used:
            yield f"{name} is ignored: it is about the upstream main, and the file names only others"


def _redis_url(tables: Tables) -> str | None:
    url = secret_variable(_REDIS_URL, (), tables)
    if url is None:
        return None
    where = _REDIS_URL if _REDIS_URL in tables.variables else f"{_REDIS_URL}_FILE"
    if not url or not url.isprintable():
        raise ConfigError(where, "", "printable text", "a control character" if url else "an empty file")
    if not _is_redis_url(url):
        raise ConfigError(where, "", _REDIS_FORM, "something else")  # which may be a password
    return url


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    # The path is the number of a database.
    database = re.fullmatch(r"/?[0-9]{0,6}", parts.path) is not None
    return parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and port != 0 and database


def _open_to_all(server: ServerConfig) -> Iterator[str]:
    if not server.api_keys_file and not is_loopback(server.host):
        yield (
            f"no client keys are asked for, and server.host is {server.host}: "
            "WHOEVER REACHES IT USES THE UPSTREAMS AT YOUR COST; set server.api_keys_file"
        )
