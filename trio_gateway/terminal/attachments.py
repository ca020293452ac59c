"""Attachments: add images and text files to a question."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .transcript import Content

__all__ = ["Attachment", "AttachmentError", "attach", "read_attachment"]

# Bytes of one file. As base64, with the rest of a request, it stays below what a gateway takes by default.
MAX_FILE = 16 * 2**20
IMAGES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class AttachmentError(ValueError):
    """The file cannot go with a question; the message says why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file's name and what it holds: text, or an image as a ``data:`` URL."""

    name: str
    text: str = ""
    image_url: str = ""


def read_attachment(name: str) -> Attachment:
    """Read the file *name*.

    Raises:
        AttachmentError: it cannot be read, is too large, or is neither an image nor text.
    """
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as exc:
        raise AttachmentError(f"{name}: {exc.strerror}") from exc
    if len(data) > MAX_FILE:
        raise AttachmentError(f"{name} is larger than {MAX_FILE // 2**20} MiB")
    for kind, head in IMAGES.items():
        if head.match(data):
            return Attachment(path.name, image_url=f"data:{kind};base64,{base64.b64encode(data).decode()}")
    try:
        return Attachment(path.name, text=data.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise AttachmentError(f"{name} is neither an image (PNG, JPEG, GIF, WebP) nor UTF-8 text") from exc


def attach(prompt: str, files: Sequence[Attachment]) -> Content:
    """The content of a message that asks *prompt* about *files*."""
    texts = [prompt, *(_quoted(file) for file in files if not file.image_url)]
    text = "\n\n".join(part for part in texts if part)
    images = [{"type": "image_url", "image_url": {"url": file.image_url}} for file in files if file.image_url]
    return [{"type": "text", "text": text}, *images] if images else text


def _quoted(file: Attachment) -> str:
    longest = max((len(run) for run in re.findall("`+", file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{file.name}:\n{fence}\n{file.text.rstrip()}\n{fence}"
