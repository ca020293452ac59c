"""What both ways of starting share: settings read, mistakes told in one line, the log set up."""

from __future__ import annotations

import os
import sys

from ..core.config.settings import ConfigError, Settings, load_settings
from .app import GatewayApp, create_app, read_text
from .logs import configure_logging

__all__ = ["make_app", "settings_or_exit"]


def settings_or_exit(config_path: str | None = None) -> Settings:
    """The settings of the environment and the file; a mistake is told in one line and ends the process."""
    try:
        return load_settings(os.environ, config_path=config_path, read_text=read_text)
    except ConfigError as error:
        print(error, file=sys.stderr, flush=True)
        # Not sys.exit: a worker of hypercorn's would bury the line under a traceback. Nothing runs yet.
        os._exit(2)


def make_app() -> GatewayApp:
    """The application of a worker that hypercorn started."""
    settings = settings_or_exit()
    configure_logging(settings.log_level)
    return create_app(settings)
