"""The command ``trio-gateway keys``: make, list and revoke the keys of a key file.

The file is edited as text, so that its comments and its order stay, and what comes of it is checked by the
server's own reader: there is one rule of what a good file is. It is replaced in one step, by a draft beside
it. Who edits holds a lock on the folder: one on the file would not hold for the file that takes its place.
"""

from __future__ import annotations

import argparse
import difflib
import fcntl
import os
import re
import secrets
import stat
import sys
import tempfile
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .core.config.keyfile import parse_keys
from .core.config.schema import ConfigError
from .core.config.tables import Tables, dotted, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .core.config.keyfile import ClientKey

    _Command = Callable[[str, argparse.Namespace], None]

__all__ = ["add_options", "run_keys"]

_PREFIX: Final = "gw-"
_VARIABLE: Final = "GATEWAY_API_KEYS_FILE"
_PLACE: Final = ("server", "api_keys_file")
_LIMITS: Final = {
    "expires": ("RFC3339", "instant from which it is refused, such as 2030-01-31T12:00:00Z"),
    "models": ("A,B", "ids of the models it may ask for"),
    "rpm": ("N", "requests a minute"),
    "tpm": ("N", "tokens a minute"),
    "concurrent": ("N", "requests at a time"),
}
_COLUMNS: Final = ("id", "expires", "models", "rpm", "tpm", "concurrent", "metrics")
_TAKEN_UP: Final = "A running gateway takes the change up on SIGHUP (kill -HUP PID)."


class _UsageError(Exception):
    """What was asked for cannot be done; the text is one line."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the subcommands. The one above it has the option ``--config``."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--file", metavar="FILE", help="key file (default: the one the configuration names)")
    # Without a default, which would take the place of what stands before `keys`.
    place.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="TOML file that names it")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, about: str, run: _Command) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[place], help=about, description=f"{about.capitalize()}.")
        made.set_defaults(run_keys=run)
        return made

    add = command("add", "make a key and show it, this once, on stdout", _add)
    add.add_argument("id", metavar="ID", help="its name, by which the log tells of it")
    for name, (metavar, text) in _LIMITS.items():
        add.add_argument(f"--{name}", metavar=metavar, help=text)
    add.add_argument("--metrics", action="store_true", help="it may read /metrics")
    command("list", "show which keys there are and what each may do", _list)
    revoke = command("revoke", "take keys out of the file", _revoke)
    revoke.add_argument("ids", metavar="ID", nargs="+", help="as `list` shows it")


def run_keys(options: argparse.Namespace) -> int:
    """Do what *options* ask for. Exit code 0: done; 1: the system refused; 2: a mistake, nothing changed."""
    try:
        file = _key_file(options)
        try:
            options.run_keys(file, options)
        except OSError as error:  # a file or a folder that cannot be read or written
            print(f"{file}: {error.strerror or error}", file=sys.stderr)
            return 1
    except (ConfigError, _UsageError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _key_file(options: argparse.Namespace) -> str:
    """The key file's path. Nothing else of the configuration is checked: this command may run without the
    server's environment, and before there is a key file."""
    variables = {name: value for name, value in os.environ.items() if value}
    name: object = options.file
    if name is None:
        name = variables.get(_VARIABLE)
    if name is None:
        tables = Tables(options.config or variables.get("GATEWAY_CONFIG", ""), variables, _read)
        name = tables.table(_PLACE[:1]).get(_PLACE[1], "")
        if not isinstance(name, str) or "\0" in name:
            raise tables.error(_PLACE, "a string that names a file", "another value")
        name = name and tables.locate(_PLACE, name)
    if not name:
        raise _UsageError(f"no key file is named: give --file FILE, or set {dotted(_PLACE)} or {_VARIABLE}")
    return str(name)


def _add(file: str, options: argparse.Namespace) -> None:
    key = _PREFIX + secrets.token_urlsafe(32)  # of characters that fit a WebSocket subprotocol
    line = _line(options, sha256(key.encode()).hexdigest())
    is_new = _edit(file, lambda text: _with_line(text, line, file), create=True)
    _show(key, f"{options.id} is added, but its key could not be shown: revoke it and add it again")
    notes = [f"The key of {options.id} is shown only now: the file holds no more than its digest."]
    if parse_keys(line, file)[0].is_expired(datetime.now(UTC)):
        notes.append("It has expired already.")
    if is_new and options.file is not None:
        notes.append(f"{file} is new: name it to the gateway, in {dotted(_PLACE)} or {_VARIABLE}.")
    print(*notes, _TAKEN_UP, sep="\n", file=sys.stderr)


def _list(file: str, options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    keys = _parse(_read(file), file)
    rows = [_COLUMNS, *(_row(key, now) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    _show("\n".join(lines), "its keys could not be shown")


def _revoke(file: str, options: argparse.Namespace) -> None:
    _edit(file, lambda text: _without_lines(text, options.ids, file))
    print(f"Revoked: {', '.join(dict.fromkeys(options.ids))}.", _TAKEN_UP, sep="\n", file=sys.stderr)


def _line(options: argparse.Namespace, digest: str) -> str:
    """The line that was asked for, not checked but for this: that it is one, of the words that were given."""
    words = {"id": options.id, "sha256": digest}
    given = {name: getattr(options, name) for name in _LIMITS}
    words |= {name: f"{name}={value}" for name, value in given.items() if value is not None}
    if options.metrics:
        words["metrics"] = "metrics"
    for name, word in words.items():
        # A space ends a word, a line's end a line, and a comment hides the limits that stand behind it.
        if not word or word.startswith("#") or " " in word or not word.isprintable():
            raise _UsageError(
                f"keys add: {_as_given(name)}: expected printable text without spaces, found another text"
            )
    return " ".join(words.values())


def _as_given(name: str) -> str:
    """The field *name* as the command line has it."""
    return f"--{name}" if name in _LIMITS else name


def _with_line(text: str, line: str, file: str) -> str:
    _parse(text, file)
    end = "\r\n" if "\r\n" in text else "\n"
    gap = end if text and not text.endswith(("\n", "\r")) else ""
    longer = f"{text}{gap}{line}{end}"
    try:
        _parse(longer, "")
    except ConfigError as error:  # in the new line, the place of which says nothing to who asked for it
        name, _, what = str(error).partition(": ")[2].partition(": ")
        raise _UsageError(
            f"keys add: {_as_given(name)}: {what.replace(f'no {name} ', f'no --{name} ')}"
        ) from None
    return longer


def _without_lines(text: str, ids: Sequence[str], file: str) -> str:
    keys = {key.id: key for key in _parse(text, file)}
    for name in ids:
        if name not in keys:
            raise _unknown(name, keys, file)
    lines = StringIO(text, newline="")  # keeps the ends of lines as they are
    return "".join(line for line in lines if not any(key.id in ids for key in _parse(line, file)))


def _unknown(name: str, keys: dict[str, ClientKey], file: str) -> ConfigError:
    digest = sha256(name.encode("utf-8", "surrogateescape")).digest()
    owners = [key.id for key in keys.values() if key.sha256 == digest]
    near = ", ".join(owners or difflib.get_close_matches(name, keys, 3))
    found = "the key itself" if owners else quote(name)  # never quoted: it is good until it is revoked
    return ConfigError(file, "", "the id of one of its keys" + f", perhaps {near}" * bool(near), found)


def _row(key: ClientKey, now: datetime) -> tuple[str, ...]:
    expires = key.expires.isoformat().replace("+00:00", "Z") if key.expires else "never"
    models = ",".join(key.models or ["all"])
    return (
        key.id,
        f"{expires} (expired)" if key.is_expired(now) else expires,
        # Any text may stand there, and any terminal may show it.
        "".join(char if " " <= char <= "~" else ascii(char)[1:-1] for char in models),
        *(str(limit or "-") for limit in (key.rpm, key.tpm, key.concurrent)),
        "yes" if key.metrics else "no",
    )


def _show(text: str, otherwise: str) -> None:
    """Print to stdout. Where that fails, an ``OSError`` says *otherwise*."""
    try:
        print(text, flush=True)
    except OSError as error:  # nobody reads, or the disk is full
        # What is left in the buffer would fail once more, with a traceback, when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, f"{otherwise} ({error.strerror})") from None


def _read(file: str) -> str:
    try:
        return Path(file).read_bytes().decode()  # not read_text, which would lose the ends of lines
    except UnicodeDecodeError:
        raise ConfigError(file, "", "UTF-8 text", "another file") from None


def _parse(text: str, file: str) -> tuple[ClientKey, ...]:
    return parse_keys(re.sub("\r\n?", "\n", text), file)  # lines as the server reads them


def _edit(file: str, change: Callable[[str], str], *, create: bool = False) -> bool:
    """Put what *change* makes of the file's text in its place. Gives whether the file is new."""
    target = Path(os.path.realpath(file))  # a link stays one
    with _locked(target.parent) as folder:
        try:
            old = target.stat()
        except FileNotFoundError:
            if not create:
                raise
            old = None
        if old is not None and not stat.S_ISREG(old.st_mode):
            raise ConfigError(file, "", "a file", "a folder or a device")
        _replace(target, change("" if old is None else _read(file)), old)
        with suppress(OSError):  # not every system can; the file is in its place
            os.fsync(folder)
        return old is None


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _replace(target: Path, text: str, old: os.stat_result | None) -> None:
    handle, draft = tempfile.mkstemp(prefix=".keys-", dir=target.parent)  # of mode 0600
    try:
        with open(handle, "wb") as output:
            output.write(text.encode())
            output.flush()
            if old is not None:
                _own_alike(handle, old)
            os.fsync(handle)
        os.replace(draft, target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _own_alike(handle: int, old: os.stat_result) -> None:
    """Give the draft the owner and the mode of the file it replaces, which the gateway's user may read."""
    try:
        os.fchown(handle, old.st_uid, old.st_gid)
    except PermissionError as error:
        raise PermissionError(error.errno, "only root can keep its owner and group") from None
    os.fchmod(handle, stat.S_IMODE(old.st_mode))
