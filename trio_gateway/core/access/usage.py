"""Token counts that an upstream reports, checked before anything is reckoned with them."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

__all__ = ["MAX_TOKENS", "TokenCounts", "read_usage"]

MAX_TOKENS: Final = 1_000_000_000
"""Largest count that is believed: far beyond any context, and small enough for every sum of counts."""

_MAIN: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


class TokenCounts(Struct, frozen=True):
    """Tokens of one answer; None where the upstream does not say."""

    input: int | None = None
    output: int | None = None
    """Reasoning included."""
    total: int | None = None
    reasoning: int | None = None

    def cost(self, *, estimated_input: int, estimated_output: int) -> int:
        """All tokens of the request and its answer, as far as they are known, else estimated."""
        if self.total is not None:
            return self.total
        given = estimated_input if self.input is None else self.input
        return given + (estimated_output if self.output is None else self.output)


def read_usage(usage: dict[str, Any]) -> TokenCounts | None:
    """The counts in the object ``usage`` of an answer; None: one of them is no number of tokens.

    Each of ``prompt_tokens``, ``completion_tokens`` and ``total_tokens`` must be an integer from 0 to
    :data:`MAX_TOKENS` where it is present, and so must ``completion_tokens_details.reasoning_tokens`` where
    it is not null. One bad count makes the others unbelievable as well.
    """
    details = usage.get("completion_tokens_details")
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    given = [usage[name] for name in _MAIN if name in usage]
    if not all(map(_is_count, given)) or not (reasoning is None or _is_count(reasoning)):
        return None
    prompt, completion, total = map(usage.get, _MAIN)
    return TokenCounts(prompt, completion, total, reasoning)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_TOKENS  # true is an int as well
