"""Prefill: decides whether a last message begins the answer, and in reasoning.

Many servers open a new turn after a last message of the assistant, so it decides nothing unless the request
says that the message is continued. What it leaves undecided is taken as declared: the answer may then come
late, but no reasoning is shown as if it were the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .history import blocks_of, content_text

if TYPE_CHECKING:
    from ..client_api.request import ChatRequest
    from ..config import ModelConfig

__all__ = ["prefilled_start"]

_LOOKED_AT: Final = 64 * 1024
"""Characters at the head of a prefill that are looked at."""


def prefilled_start(request: ChatRequest, model: ModelConfig) -> bool | None:
    """Whether the answer to *request* goes on inside reasoning; None: its last message does not decide it.

    A block at the head of the message that is closed means that the answer goes on with the output, an open
    one that it goes on with reasoning.
    """
    if not (request.messages and _is_continued(request)):
        return None
    text = content_text(request.messages[-1].get("content"))[:_LOOKED_AT]
    blocks = blocks_of(model.markers)
    closed = blocks.end(text)
    if (block := blocks.first(text[closed:])) is not None and block.end is None:
        return True
    # A template that opens the block leaves its end alone in the message.
    if closed or (model.starts_in_reasoning and any(end and end in text for _, end in model.markers)):
        return False
    return None


def _is_continued(request: ChatRequest) -> bool:
    last = request.messages[-1]
    return last["role"] == "assistant" and (
        last.get("prefix") is True or request.body.get("continue_final_message") is True
    )
