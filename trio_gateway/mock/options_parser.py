"""Command line of the mock model."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from .options import Options, load_traces
from .server import serve_mock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

ABOUT = """An OpenAI-compatible model server with canned reasoning answers, for demos and tests.

The model id chooses how the answer is written:

  default, mock-think  <think>...</think>, then the answer (an unknown id does this too)
  mock-implied         begins inside the reasoning: only </think> arrives
  mock-field           reasoning in delta.reasoning_content
  mock-harmony         the channels of gpt-oss, as text
  mock-prose           "Let me think about ...", then "Therefore, ..."
  mock-plain           no reasoning
  mock-tools           reasoning, then a call of the first tool; an answer once the tool has spoken
  trace-N              line N of --traces, counted from 0

or what goes wrong (N is free):

  fault-mute           never answers
  fault-cut-N          closes the connection after N tokens (40), in mid-answer
  fault-stall-N        falls silent for ever after N tokens (20)
  fault-malformed-N    a line of broken JSON after N tokens (20)
  fault-drip           one byte a second
  fault-429            429 with Retry-After: 2
  fault-500            500

GET /v1/mock/stats counts the chat requests: how many came, run, were answered, were left by their client.
It asks for no key and is not hardened: keep it on loopback.
"""


def _parse(argv: Sequence[str] | None, prog: str) -> Options:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog, description=ABOUT, formatter_class=raw)
    add, host, port = parser.add_argument, os.environ.get("HOST"), os.environ.get("MOCK_PORT")
    add("--host", default=host or "127.0.0.1", help="default: HOST, or 127.0.0.1")
    add("--port", type=int, default=port or "9000", help="default: MOCK_PORT, or 9000; 0: any")
    add("--tokens-per-second", type=float, default=50.0, help="default: 50; 0: as fast as it can")
    add("--first-token-delay", type=float, default=0.0, help="seconds")
    add("--chunk-size", type=int, default=0, help="characters a delta; default: words")
    add("--split-markers", action="store_true", help="cut markers over several deltas")
    add("--think-seconds", type=float, default=0.0, help="repeat the reasoning for so long")
    add("--traces", type=Path, metavar="FILE", help="JSON lines with prompt, reasoning, answer")
    given = vars(parser.parse_args(argv))
    try:
        options = Options(**given | {"traces": load_traces(given["traces"]) if given["traces"] else ()})
    except (OSError, msgspec.DecodeError) as error:
        parser.error(f"--traces {given['traces']}: {error}")
    if not 0 <= options.port <= 65_535:
        parser.error(f"--port or MOCK_PORT: expected 0 to 65535, found {options.port}")
    if not all(0 <= number < math.inf for number in given.values() if isinstance(number, int | float)):
        parser.error("every number must be finite, and none below 0")
    if options.think_seconds and not options.tokens_per_second:
        parser.error("--think-seconds needs --tokens-per-second above 0")
    return options


async def _run(options: Options) -> None:
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            url = await nursery.start(serve_mock, options)
            print(f"mock model listening on {url}/v1", flush=True)
            await anext(aiter(signals))
            os._exit(0)  # hypercorn would wait for clients that do not read, and nothing is left to save


def main(argv: Sequence[str] | None = None, *, prog: str = "mock_llm.py") -> int:
    """Run the mock from the command line until SIGINT or SIGTERM; give the exit code."""
    options = _parse(argv, prog)
    try:
        trio.run(_run, options)
    except* OSError as errors:
        where, why = f"{options.host}:{options.port}", errors.exceptions[0]
        print(f"{prog}: cannot listen on {where}: {why}; see --port and MOCK_PORT", file=sys.stderr)
    return 1
