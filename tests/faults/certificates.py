"""Certificates for servers on loopback, made when they are needed by the command openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certificates", "make_certificates"]

_NAMES = {
    # name: whom it is for, and how long
    "valid": ("IP:127.0.0.1", "1"),
    "expired": ("IP:127.0.0.1", "-1"),
    "elsewhere": ("DNS:elsewhere.example", "1"),
    "unknown": ("IP:127.0.0.1", "1"),
}


@dataclass(frozen=True, slots=True)
class Certificates:
    """A folder of them, each with its key."""

    folder: Path

    @property
    def trusted(self) -> Path:
        """A file of those a client is to trust: all but ``unknown``."""
        return self.folder / "trusted.pem"

    def context(self, name: str) -> ssl.SSLContext:
        """For a server that shows the certificate of that name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make them all in *folder*."""
    for name, (subject, days) in _NAMES.items():
        key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "request", "pem"))
        names = folder / f"{name}.names"
        names.write_text(f"subjectAltName={subject}\n")
        _openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test",
            ("-keyout", key),
            ("-out", request),
        )
        _openssl(
            f"x509 -req -days {days}",
            ("-in", request),
            ("-signkey", key),
            ("-extfile", names),
            ("-out", certificate),
        )
    certificates = Certificates(folder)
    trusted = [folder / f"{name}.pem" for name in _NAMES if name != "unknown"]
    certificates.trusted.write_text("".join(path.read_text() for path in trusted))
    return certificates


def _openssl(options: str, *files: tuple[str, Path]) -> None:
    command = ["openssl", *options.split(), *(str(part) for pair in files for part in pair)]
    subprocess.run(command, check=True, capture_output=True)
