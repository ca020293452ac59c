"""Piece buffer: orders and joins the splitter's pieces, and may take some back.

The splitter decides what a stretch of text is; the account says it. It knows nothing of markers.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Final

from ..budgets.held_bytes import ByteBudget
from ..text.growing import GrowingText
from .pieces import Output, Piece, Reasoning, Reclassified, ToolCall

if TYPE_CHECKING:
    from ..budgets.held_bytes import Holding

__all__ = ["KEPT", "PieceBuffer"]

KEPT: Final = 1024 * 1024
"""Bytes of open blocks that are kept, all choices together, in case they become output. What does not find
room stays reasoning."""


class PieceBuffer:
    """What was given so far.

    *keep_output*: hold output back until a block opens or :meth:`release`. *room*: for the text of an open
    block.
    """

    __slots__ = (
        *("_block", "_calls", "_earlier", "_joint", "_kept", "_opener", "_parted", "_pieces", "_room"),
        *("_skipped", "_taken", "reasoned", "spoken"),
    )

    def __init__(self, *, keep_output: bool, room: Holding | None = None) -> None:
        self._pieces: list[Piece] = []
        self.spoken = False  # output was given, and not only whitespace
        self.reasoned = False  # reasoning was
        self._kept: GrowingText | None = GrowingText() if keep_output else None
        self._parted = False  # a marker stands between the output so far and what comes
        self._calls = -1

        self._room = room or ByteBudget(KEPT).hold()
        self._block: StringIO | None = None  # the text of the open block; None: none, or one too long
        self._opener = ""  # its start marker, and whitespace before it
        self._skipped = 0  # characters at its beginning that were not given
        self._taken = 0  # characters of reasoning given for it
        self._joint = False  # another block's reasoning came before, and none of its own yet
        self._earlier = False  # what ``reasoned`` was before it

    def begin(self) -> list[Piece]:
        """A list that takes all the pieces from now on."""
        self._pieces = []
        return self._pieces

    def speak(self, text: str) -> None:
        """Give output."""
        if self._parted:
            text, self._parted = "\n" + text, False
        if not self.spoken and not text.isspace():
            self.spoken = True
        if self._kept is None:
            self._pieces.append(Output(text))
        else:
            self._kept.append(text)

    def think(self, text: str) -> None:
        """Give reasoning."""
        self._keep(text)
        if self._joint:
            text, self._joint = "\n" + text, False
        if not self.reasoned and not text.isspace():
            self.reasoned = True
        self._taken += len(text)
        self._pieces.append(Reasoning(text))

    def open_call(self, name: str) -> None:
        """A tool call begins."""
        self._calls += 1
        self._pieces.append(ToolCall(self._calls, name, ""))

    def call(self, text: str) -> None:
        """Give arguments of the tool call."""
        self._pieces.append(ToolCall(self._calls, None, text))

    def part(self) -> None:
        """A marker was dropped from the output: a newline joins what comes to what was."""
        self._parted = self.spoken

    def open_block(self, opener: str) -> None:
        """A block of reasoning begins, behind the start marker *opener*."""
        self.release()
        self._opener = "\n" + opener if self._parted else opener
        self._block = StringIO()
        self._skipped = self._taken = 0
        self._joint = self._earlier = self.reasoned

    def skip(self, text: str) -> None:
        """Text of the block that belongs to its start marker."""
        self._keep(text)
        self._skipped += len(text)

    @property
    def has_block_text(self) -> bool:
        """Reasoning was given of the open block."""
        return self._taken > 0

    def room(self, size: int) -> bool:
        """Whether the open block can take *size* more characters and still become output."""
        return self._block is not None and self._block.tell() + size <= KEPT

    def close_block(self) -> None:
        """The open block, if any, was reasoning: its text is needed no longer."""
        self._block = None
        self._room.release()

    def reclaim(self, *, with_start: bool = False) -> Reclassified | None:
        """Close the open block: what it would be as output; ``None``: nothing, or too long.

        With other output before it, or *with_start*, it is given back as it stood, with its start marker. The
        caller must :meth:`promote` what it makes of this.
        """
        block = self._block
        self.close_block()
        if block is None:
            return None
        text = block.getvalue()
        inside = text[self._skipped :]
        if not self.spoken and (not inside or inside.isspace()):
            return None
        text = self._opener + text if self.spoken or with_start else inside
        return Reclassified(text, self._taken)

    def promote(self, promotion: Reclassified) -> None:
        """Give a block as output after all."""
        self.spoken = True
        self.reasoned = self._earlier
        self._pieces.append(promotion)

    def release(self) -> None:
        """Give the output that was held back; no more is."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._pieces += map(Output, kept.pieces())

    def recast(self) -> None:
        """The output that was held back is reasoning; no more is."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self.spoken = False
            for text in kept.pieces():
                self.think(text)

    def _keep(self, text: str) -> None:
        if self._block is not None:
            size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            if self._room.resize(self._room.amount + size):
                self._block.write(text)
            else:
                self.close_block()
