"""Limit of a rendered text, for the view, which loads no renderer."""

from typing import Final

__all__ = ["MAX_TEXT"]

MAX_TEXT: Final = 100_000
"""Characters of a text that is rendered; the page shows a longer one as it stands."""
