"""The file of client keys: who may call, what for, and how much.

A line a key: ``id sha256hex [expires=RFC3339] [models=a,b] [rpm=N] [tpm=N] [concurrent=N] [metrics]``.
Fields are parted by spaces; ``#`` at the head of a line or after a space opens a comment. Keys themselves are
never in the file, and no message quotes what could be one put there by mistake.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from .schema import ConfigError

__all__ = ["ClientKey", "parse_keys"]

_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_ID_RULE: Final = "1 to 64 letters, digits, dots, dashes or underscores"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")
_NUMBERLIKE: Final = re.compile(r"[+-]?[0-9][0-9._,]{0,11}")
_OPTIONS: Final = "expires=, models=, rpm=, tpm=, concurrent= or metrics"

_Instant = Annotated[datetime, Meta(tz=True)]


class ClientKey(Struct, frozen=True, kw_only=True):
    """A key that clients may show, known by its digest alone. ``None`` is: no limit."""

    id: str
    """Name of the key in logs: 1 to 64 letters, digits, dots, dashes and underscores."""
    sha256: bytes
    """SHA-256 of the key (32 bytes)."""
    expires: datetime | None = None
    """Instant (with a time zone) from which it is refused."""
    models: tuple[str, ...] | None = None
    """Ids of the models it may ask for; ``None``: every one."""
    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute."""
    concurrent: int | None = None
    """Requests at a time."""
    metrics: bool = False
    """May read ``/metrics``."""

    def is_expired(self, now: datetime) -> bool:
        """Whether it is refused at the instant *now* (with a time zone)."""
        return self.expires is not None and now >= self.expires

    def allows(self, model_id: str) -> bool:
        """Whether it may ask for that model."""
        return self.models is None or model_id in self.models


def parse_keys(text: str, path: str) -> tuple[ClientKey, ...]:
    """The keys of a key file, in its order; *path* names the file in messages.

    A file without any key is valid: no client is let in.

    Raises:
        ConfigError: a line is malformed, or an id or a digest stands twice; the text says which line.
    """
    keys: dict[str, ClientKey] = {}
    digests: set[bytes] = set()
    for number, line in enumerate(text.split("\n"), 1):
        words = _COMMENT.sub("", line).split()
        if not words:
            continue
        where = f"{path}:{number}"
        key = _parse_key(words, where)
        if key.id in keys:
            raise ConfigError(where, "id", "one that no other line has", f'"{key.id}" again')
        if key.sha256 in digests:
            raise ConfigError(where, "sha256", "one that no other line has", "that of another key")
        keys[key.id] = key
        digests.add(key.sha256)
    return tuple(keys.values())


def _parse_key(words: list[str], where: str) -> ClientKey:
    name, digest, *options = [*words, ""] if len(words) == 1 else words
    if not _ID.fullmatch(name):
        raise ConfigError(where, "id", _ID_RULE, "another text")
    if not _DIGEST.fullmatch(digest):
        raise ConfigError(where, "sha256", "64 hexadecimal digits", "another text" if digest else "nothing")
    values: dict[str, object] = {}
    for option in options:
        key, _, value = option.partition("=")
        parsed = _parse_option(key, value, option, where)
        if key in values:
            raise ConfigError(where, key, "one", "two")
        values[key] = parsed
    return msgspec.convert({"id": name, "sha256": bytes.fromhex(digest), **values}, ClientKey)


def _parse_option(key: str, value: str, option: str, where: str) -> object:
    match key:
        case "metrics" if option == "metrics":
            return True
        case "expires":
            return _parse_instant(value, where)
        case "models":
            models = tuple(value.split(","))
            if not all(models):
                raise ConfigError(where, key, "ids parted by commas", "an empty one")
            return models
        case "rpm" | "tpm" | "concurrent":
            if not _NUMBER.fullmatch(value):
                expected = f"a whole number from 1 to 999999999, or no {key} for no limit"
                raise ConfigError(where, key, expected, _shown_number(value))
            return int(value)
        case _:
            raise ConfigError(where, "option", _OPTIONS, "another word")


def _shown_number(value: str) -> str:
    """*value* as a message may show it: a short number is no key that stands there by mistake."""
    if not value:
        return "nothing"
    return value if _NUMBERLIKE.fullmatch(value) else "another text"


def _parse_instant(value: str, where: str) -> datetime:
    try:
        return msgspec.convert(value, _Instant)
    except msgspec.ValidationError:
        expected = "an instant with a time zone, such as 2030-01-31T12:00:00Z"
        raise ConfigError(where, "expires", expected, "another text") from None
