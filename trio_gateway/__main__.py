"""The command line: ``python -m trio_gateway``, installed as ``trio-gateway``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .server.logs import configure_logging
from .server.process import settings_or_exit
from .server.serve import PortError, run_server
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gateway. Exit code 0: a clean stop; 1: it cannot listen; 2: a mistake in the configuration."""
    options = _parser().parse_args(argv)
    settings = settings_or_exit(options.config)
    if options.check_config:
        for warning in settings.warnings:
            print(warning, file=sys.stderr)
        print("configuration: ok")
        return 0
    configure_logging(settings.log_level)
    try:
        run_server(settings)
    except PortError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trio-gateway", description="A streaming gateway in front of a reasoning model's API."
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file to read (default: GATEWAY_CONFIG)")
    parser.add_argument("--check-config", action="store_true", help="check the configuration and end")
    parser.add_argument("--version", action="version", version=f"trio-gateway {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
