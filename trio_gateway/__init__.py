"""A streaming gateway for reasoning models.

``app`` is for ``hypercorn -k trio trio_gateway:app``; :func:`create_app` for a process of your own.
What is named here is loaded when first used: a client that shares the core needs no web server for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .lazy import app
from .version import __version__

if TYPE_CHECKING:
    from .core.config import ConfigError, ModelConfig
    from .core.config.families import DEFAULT_MODELS
    from .core.config.settings import Settings
    from .server.app import create_app
    from .server.load_settings import load_settings

__all__ = [
    "DEFAULT_MODELS",
    "ConfigError",
    "ModelConfig",
    "Settings",
    "__version__",
    "app",
    "create_app",
    "load_settings",
]

_HOMES = {
    "ConfigError": ".core.config",
    "DEFAULT_MODELS": ".core.config.families",
    "ModelConfig": ".core.config",
    "Settings": ".core.config.settings",
    "create_app": ".server.app",
    "load_settings": ".server.load_settings",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
