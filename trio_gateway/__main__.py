"""The command line: ``python -m trio_gateway``, installed as ``trio-gateway``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from .keys import add_options, run_keys
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PROG: Final = "trio-gateway"
_MAX_WORKERS: Final = 128
# Characters of a value that an error shows.
_SHOWN: Final = 40

# Commands with a command line of their own, each with what it does.
_PROGRAMS: Final = {
    "chat": "talk to the gateway in the terminal",
    "mock": "run the mock model, to try the gateway without one",
    "demo": "run both, ask one question and end",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; without a word, the gateway.

    Exit code of the gateway: 0 after a clean stop, 1 where it cannot listen or its workers do not start, 2
    for a mistake in the configuration. The other commands end as their own main functions say.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _PROGRAMS:
        return _run_program(words[0], words[1:])
    options = _parser().parse_args(words)
    return run_keys(options) if options.command == "keys" else _serve(options)


def _run_program(name: str, words: Sequence[str]) -> int:
    prog = f"{_PROG} {name}"
    # Each is imported where it is run: none needs what the others do.
    match name:
        case "chat":
            from .terminal.command_line import main as chat

            return chat(list(words), prog=prog)
        case "mock":
            from .mock.options_parser import main as mock

            return mock(words, prog=prog)
        case _:
            from .demo import main as demo

            return demo(words, prog=prog)


def _serve(options: argparse.Namespace) -> int:
    # Not at the top: to edit the key file takes none of it, and should take no time.
    from .server.logs import configure_logging
    from .server.process import settings_or_exit
    from .server.serve import PortError, WorkersError, run_server

    settings = settings_or_exit(options.config)
    if options.check_config:
        for warning in settings.warnings:
            print(warning, file=sys.stderr)
        print("configuration: ok")
        return 0
    configure_logging(settings.log_level, settings.log_format)
    try:
        run_server(settings, config_path=options.config, workers=options.workers)
    except (PortError, WorkersError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROG, description="A streaming gateway in front of a reasoning model's API."
    )
    _add_options(parser, None, check=False, workers=1)
    parser.add_argument("--version", action="version", version=f"{_PROG} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    about = "run the gateway (as without a command)"
    serve = commands.add_parser("serve", help=about, description=f"{about.capitalize()}.")
    # Without defaults, which would take the place of what stands before the command.
    _add_options(serve, argparse.SUPPRESS, check=argparse.SUPPRESS, workers=argparse.SUPPRESS)
    for name, about in _PROGRAMS.items():
        commands.add_parser(name, help=about)
    about = "make, list and revoke the keys of its clients"
    add_options(commands.add_parser("keys", help=about, description=f"{about.capitalize()}."))
    return parser


def _add_options(
    parser: argparse.ArgumentParser, config: str | None, *, check: bool | str, workers: int | str
) -> None:
    parser.add_argument(
        "--config", metavar="FILE", default=config, help="TOML file to read (default: GATEWAY_CONFIG)"
    )
    parser.add_argument(
        "--check-config", action="store_true", default=check, help="check the configuration and end"
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_workers,
        default=workers,
        help="processes that serve, about one a core (default: 1)",
    )


def _workers(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_WORKERS)) else 0
    if not 1 <= number <= _MAX_WORKERS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 1 to {_MAX_WORKERS}, found {text[:_SHOWN]!r}"
        )
    return number


if __name__ == "__main__":
    sys.exit(main())
