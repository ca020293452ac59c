"""Cases from the field: what clients and upstreams really send, and what must come of it.

Each line of ``data/field_cases.jsonl`` says why it is there and, where it was built after a public report, which one
(``source``). ``deltas`` are what the upstream answers with (one that says ``4`` if absent) before its ``finish``, or
``stream`` is all lines of its body; ``sent`` is what it must have seen at places of the body. ``calls`` (an id that is
null may be any of the gateway's, but no two the same), ``reasoning`` and the ``output`` (``4`` if absent) are what
the client must get, as a stream and as one object.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import DONE, HEAD, Json, sse_chunk

__all__ = ["CASES", "answer_of", "check_calls"]

_FILE = Path(__file__).parent / "data" / "field_cases.jsonl"
CASES: list[Json] = [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]


def answer_of(case: Json) -> bytes:
    """The upstream's response, head and body."""
    if "stream" in case:
        lines = [line + "\n" if line.startswith("data") else line for line in case["stream"]]
        return HEAD + ("\n".join(lines) + "\n").encode()
    deltas = case.get("deltas", [{"content": "4"}])
    return HEAD + b"".join(map(sse_chunk, deltas)) + sse_chunk(finish=case.get("finish", "stop")) + DONE


def check_calls(case: Json, calls: list[list[str]]) -> None:
    """Check id, name and arguments of each tool call, as a client has put them together."""
    ids = [call[0] for call in calls]
    assert all(ids), case["id"]
    assert len(set(ids)) == len(ids), case["id"]
    wanted = case.get("calls", [])
    assert [call[1:] for call in calls] == [call[1:] for call in wanted], case["id"]
    assert ids == [call[0] or got for call, got in zip(wanted, ids, strict=True)], case["id"]
