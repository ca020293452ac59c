"""Media type of requests: lets JSON in, and says what else was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import UnsupportedMediaType

from ..core.errors import clean_text

if TYPE_CHECKING:
    from quart import Request

__all__ = ["require_json"]

_SHOWN: Final = 60
"""Characters of a header that an error shows."""


def require_json(request: Request) -> None:
    """Let *request* pass where its headers announce JSON as it stands.

    A web page may post a form, or plain text, to any address: only JSON needs the browser's consent.

    Raises:
        UnsupportedMediaType: they announce something else, or a compressed body.
    """
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise UnsupportedMediaType(
            f"The body is compressed ({clean_text(coding, _SHOWN)}): send it without Content-Encoding."
        )
    kind = request.mimetype
    if kind != "application/json" and not kind.endswith("+json"):
        found = clean_text(kind, _SHOWN) or "none"
        raise UnsupportedMediaType(f"expected Content-Type: application/json, got {found}.")
