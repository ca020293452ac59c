"""Site: an upstream as messages name it, with the settings that correct what fails there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ..config.addresses import is_loopback
from ..errors import clean_text
from ..json.strict import dumps
from .faults import NAMELESS, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import ServerConfig, UpstreamConfig

__all__ = ["Site", "may_show_urls", "shown_url", "site_of"]


_LISTED: Final = 8
"""Models of an upstream that a message names."""
_MAX_MODEL: Final = 60
"""Characters of a model's id in a message."""


class Site(Struct, frozen=True):
    """One upstream in messages. Without settings it is called by its name alone."""

    name: str
    url: str = ""
    """Its base, without user and query: for the log."""
    shown: bool = False
    """Whether clients may see the URL."""
    url_setting: str = "its url"
    """What sets the URL: a variable, or a key of the file."""
    key_setting: str = "The key"
    """What sets the gateway's key for it."""
    has_key: bool = True

    @property
    def subject(self) -> str:
        """The upstream as the beginning of a sentence for clients."""
        return f"Upstream {dumps(self.name)}{f' at {self.url}' if self.shown else ''} "

    def advice(self, hint: str) -> str:
        """*hint*, a text of ours, with this upstream's settings in the places of its braces."""
        return hint.format(
            url=self.url_setting,
            key=f"{self.key_setting} {'is wrong' if self.has_key else 'is not set'}",
            table=f"upstreams.{self.name}",
        )

    def explain(self, fault: Fault, *, model: str = "", listed: Sequence[str] = ()) -> Fault:
        """*fault* with a message that names the upstream and ends in what to do next.

        *model*: the id the upstream was asked for. *listed*: the models it lists; they are named to clients
        only where the URL is, as a client's key may allow some of them alone.
        """
        error = fault.error
        if error.status == 404 and model == "default":
            return replace(fault, error=replace(error, message=self._unmapped(listed)))
        if not error.message.startswith(NAMELESS):
            return fault
        hint = self.advice(fault.hint)
        message = f"{self.subject}{error.message.removeprefix(NAMELESS)} {hint}".rstrip()
        return replace(fault, error=replace(error, message=message))

    def _unmapped(self, listed: Sequence[str]) -> str:
        setting = "UPSTREAM_MODEL" if self.name == "main" else "models.default.upstream_model"
        if not (listed and self.shown):
            return (
                f'The model "default" is not mapped to one of the upstream {dumps(self.name)}. '
                f'Set {setting}, or name a model of GET /v1/models as "model".'
            )
        names = ", ".join(clean_text(each, _MAX_MODEL) for each in listed[:_LISTED])
        more = ", …" if len(listed) > _LISTED else ""
        return (
            f'The model "default" is not mapped, and the upstream {dumps(self.name)} lists {names}{more}. '
            f'Set {setting}, or name one of them as "model".'
        )


def site_of(
    name: str, config: UpstreamConfig, server: ServerConfig, *, key: str | None, url_setting: str = ""
) -> Site:
    """The site of the upstream *name*. *key*: the gateway's for it; *url_setting*: what has set its URL."""
    own = config.api_key_env or (f"upstreams.{name}.api_key_file" if config.api_key_file else "")
    usual = "UPSTREAM_API_KEY" if name == "main" else f"upstreams.{name}.api_key_env"
    return Site(
        name,
        shown_url(config.url),
        shown=may_show_urls(server),
        url_setting=url_setting or f"upstreams.{name}.url",
        key_setting=own or usual,
        has_key=key is not None,
    )


def may_show_urls(server: ServerConfig) -> bool:
    """Whether clients may see where the upstreams are: only this machine can ask, and everybody on it may."""
    return is_loopback(server.host) and not server.api_keys_file


def shown_url(url: str) -> str:
    """*url* without user, query and fragment.

    >>> shown_url("https://me:secret@host:8443/v1?key=secret")
    'https://host:8443/v1'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
