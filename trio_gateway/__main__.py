"""The command line: ``python -m trio_gateway``, installed as ``trio-gateway``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .keys import add_options, run_keys
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gateway, or edit its key file (:func:`run_keys` tells how that ends).

    Exit code 0: a clean stop; 1: it cannot listen; 2: a mistake in the configuration.
    """
    options = _parser().parse_args(argv)
    return run_keys(options) if options.command == "keys" else _serve(options)


def _serve(options: argparse.Namespace) -> int:
    # Not at the top: to edit the key file takes none of it, and should take no time.
    from .server.logs import configure_logging
    from .server.process import settings_or_exit
    from .server.serve import PortError, run_server

    settings = settings_or_exit(options.config)
    if options.check_config:
        for warning in settings.warnings:
            print(warning, file=sys.stderr)
        print("configuration: ok")
        return 0
    configure_logging(settings.log_level, settings.log_format)
    try:
        run_server(settings, config_path=options.config)
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
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="instead of serving")
    about = "make, list and revoke the keys of its clients"
    add_options(commands.add_parser("keys", help=about, description=f"{about.capitalize()}."))
    return parser


if __name__ == "__main__":
    sys.exit(main())
