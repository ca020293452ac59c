"""Settings from a file, from the environment or from code, whichever a program has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import fields

from ..core.config import ModelConfig
from ..core.config import settings as core
from ..core.config.settings import Settings
from .shared_store import shared_store

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Config", "load_settings", "read_text"]

Config: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | Settings"


def load_settings(
    config: Config | None = None,
    *,
    upstream_url: str | None = None,
    models: Mapping[str, ModelConfig | Mapping[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The checked settings of a program.

    *config*: the path of a TOML file, its tables as a dict (relative paths count from the working folder),
    settings that are ready, or None: the file that ``GATEWAY_CONFIG`` names, if it is set.

    *upstream_url*: the base URL of the upstream ``main``, which *config* need not hold. *models*: entries by
    model id; of a :class:`ModelConfig` the fields count that differ from their defaults. These two beat
    *environ*, which beats *config*.

    *environ*: the variables; with None those of ``os.environ`` now.

    Raises:
        ConfigError: the first mistake found.
        TypeError: *config* is something else, or is settings and there is more.
    """
    if isinstance(config, Settings):
        if upstream_url is not None or models is not None or environ is not None:
            raise TypeError("settings are complete: give upstream_url, models and environ to load_settings")
        return config
    if not (config is None or isinstance(config, str | os.PathLike | Mapping)):
        raise TypeError("config: expected a path, a dict, settings or None")
    settings = core.load_settings(
        os.environ if environ is None else environ,
        config_path=None if config is None or isinstance(config, Mapping) else os.fspath(config),
        tables=config if isinstance(config, Mapping) else None,
        upstream_url=upstream_url,
        models={name: _entry(model) for name, model in (models or {}).items()},
        read_text=read_text,
    )
    shared_store(settings)  # what it needs may not be installed
    return settings


def read_text(path: str) -> str:
    """A configuration file's text."""
    return Path(path).read_text(encoding="utf-8")


def _entry(model: ModelConfig | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(model, ModelConfig):
        return model
    set_here = {each.name for each in fields(model) if getattr(model, each.name) != each.default}
    return {name: value for name, value in msgspec.to_builtins(model).items() if name in set_here}
