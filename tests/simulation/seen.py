"""A stream of the gateway's, taken apart: by code that shares nothing with the gateway's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Seen", "taken_apart"]


@dataclass(slots=True)
class Seen:
    """An answer taken apart. Texts are by choice."""

    phases: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """Content by phase, the two summaries only."""
    output: dict[int, str] = field(default_factory=dict)
    reasoning: dict[int, str] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    usages: int = 0
    done: int = 0
    wrong: list[str] = field(default_factory=list)


def taken_apart(body: bytes, *, whole: bool) -> Seen:
    seen = Seen()
    *blocks, rest = body.decode("utf-8", "strict" if whole else "replace").split("\n\n")
    if whole and rest:
        seen.wrong.append(f"framing: {rest[:40]!r} after the last event")
    for block in blocks:
        if seen.done:
            seen.wrong.append(f"after [DONE]: {block[:40]!r}")
        match block.split("\n"):
            case [comment] if comment.startswith(":"):
                pass
            case ["data: [DONE]"]:
                seen.done += 1
            case [data] if data.startswith("data: "):
                _take_chunk(seen, json.loads(data[6:]))
            case ["event: phase", data]:
                seen.phases.append(json.loads(data[6:])["phase"])
            case ["event: error", data]:
                seen.errors.append(json.loads(data[6:])["error"])
            case _:
                seen.wrong.append(f"framing: {block[:60]!r} is no event of ours")
    return seen


def _take_chunk(seen: Seen, chunk: dict[str, Any]) -> None:
    phase = chunk.get("phase")
    seen.usages += "usage" in chunk
    if seen.errors:
        seen.wrong.append("after an error: a chunk")
    for choice in chunk["choices"]:
        index, delta, content = choice["index"], choice["delta"], choice["delta"].get("content")
        if index in seen.finished:
            seen.wrong.append(f"after a finish: more of choice {index}")
        if choice["finish_reason"] is not None:
            seen.finished.append(index)
        if (thought := delta.get("reasoning_content")) is not None:
            seen.reasoning[index] = seen.reasoning.get(index, "") + thought
        if content == "\n\n" and phase != "final_output":
            continue  # the paragraph that closes a phase
        if phase is not None and phase != (seen.phases[-1] if seen.phases else None):
            seen.wrong.append(f"phases: a chunk of {phase} in {seen.phases}")
        if content is not None and phase == "final_output":
            seen.output[index] = seen.output.get(index, "") + content
        elif content is not None:
            seen.told[phase or ""] = seen.told.get(phase or "", "") + content
