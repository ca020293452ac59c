"""Splitting a text in every way of cutting it, and the account of its pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_gateway.core.reasoning import (
    Output,
    Piece,
    Reasoning,
    ReasoningSplitter,
    Reclassified,
    ToolCall,
    starts_in_reasoning,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_gateway.core.config import ModelConfig


PieceBuffer = tuple[str, str]


def account_of(pieces: Iterable[Piece]) -> PieceBuffer:
    """Reasoning and output in the end: what a promotion makes output is reasoning no longer."""
    reasoning = output = ""
    for piece in pieces:
        match piece:
            case Reasoning(text):
                reasoning += text
            case Output(text):
                output += text
            case Reclassified(text, given):
                assert given <= len(reasoning)
                reasoning = reasoning[: len(reasoning) - given]
                output += text
            case ToolCall():
                pass
    return reasoning, output


def splitter_for(model: ModelConfig, *, whole: bool = False, presumed: bool = False) -> ReasoningSplitter:
    """For a request that says nothing about thinking."""
    starts = starts_in_reasoning(model, thinking=None)
    return ReasoningSplitter(model, starts_in_reasoning=starts, presumed=presumed, whole=whole)


def pieces_of(
    model: ModelConfig,
    *parts: str,
    finish: str | None = "stop",
    whole: bool = False,
    presumed: bool = False,
) -> list[Piece]:
    splitter = splitter_for(model, whole=whole, presumed=presumed)
    return [piece for part in parts for piece in splitter.feed(part)] + splitter.finish(finish)


def cuts(text: str) -> Iterator[list[str]]:
    yield [text]
    for size in (1, 2, 3, 5, 7):
        yield [text[place : place + size] for place in range(0, len(text), size)]
    if len(text) < 300:
        for place in range(1, len(text)):
            yield [text[:place], text[place:]]


def split(
    model: ModelConfig,
    text: str,
    finish: str | None = "stop",
    *,
    whole: bool = False,
    presumed: bool = False,
) -> PieceBuffer:
    """The one account that every way of cutting *text* gives."""
    accounts = {
        account_of(pieces_of(model, *parts, finish=finish, whole=whole, presumed=presumed))
        for parts in cuts(text)
    }
    assert len(accounts) == 1, accounts
    return accounts.pop()
