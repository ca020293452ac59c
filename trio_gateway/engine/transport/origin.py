"""Origins: names the server that connections lead to."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["Origin"]

_DEFAULT_PORTS: Final = {False: 80, True: 443}


class Origin(Struct, frozen=True):
    """A server as the start of a URL names it."""

    host: str
    """A name in ASCII (IDNA for others), or an address; one of IPv6 without brackets."""
    port: int
    secure: bool = False
    """Whether TLS is spoken: ``https``."""

    @property
    def authority(self) -> bytes:
        """The value of the field ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.secure] else f":{self.port}"
        return f"{host}{port}".encode("ascii")
