"""An OpenAI-compatible model server with canned reasoning answers, for demos and tests.

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

# How it works: a request becomes one `Reply` a choice (`compose`), replies become steps, each the bytes of
# one write (`stream`, `whole`), a fault spoils the steps (`sabotage`): all of it plain functions that never
# wait. `_PacedBody` then hands the steps out in time.

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import signal
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice, pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4
from zlib import crc32

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from msgspec import Meta, Struct
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

__all__ = ["Options", "Trace", "create_mock", "load_traces", "main", "serve_mock"]

Delta = dict[str, Any]

FAMILIES = {  # model id → field of the delta → the text it carries
    "mock-think": {"content": "<think>\n{reasoning}\n</think>\n\n{answer}"},
    "mock-implied": {"content": "{reasoning}\n</think>\n\n{answer}"},
    "mock-field": {"reasoning_content": "{reasoning}", "content": "{answer}"},
    "mock-harmony": {
        "content": "<|channel|>analysis<|message|>{reasoning}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
    },
    "mock-prose": {"content": "Let me think about this. {reasoning}\n\nTherefore, {conclusion}"},
    "mock-plain": {"content": "{answer}"},
    "mock-tools": {"content": "<think>\n{reasoning}\n</think>\n\n{answer}"},
}
FAULTS = {"mute": 0, "cut": 40, "stall": 20, "malformed": 20, "drip": 0, "429": 0, "500": 0}  # tokens before
FAULT_ID = re.compile(rf"fault-({'|'.join(FAULTS)})(?:-([0-9]{{1,9}}))?")
MARKER = re.compile(r"(</?think>|<\|\w+\|>)")
WORD = re.compile(r"\s?\S+|\s")


class Thought(Struct, frozen=True):
    """What a model thinks, and what it then says."""

    reasoning: str
    answer: str


class Trace(Thought, frozen=True):
    """A recorded thought and the prompt it belongs to; other keys of its JSON line are ignored."""

    prompt: str


CANNED = {  # by a pattern in the prompt; no sentence begins with words that end reasoning told in prose
    r"\b2 ?\+ ?2\b": Thought(
        "The user asks for the sum of 2 and 2. Adding 2 and 2 together means starting at 2 and counting two "
        "steps further: 3, then 4. To check it another way, two pairs of apples put side by side make four "
        "apples, so the sum is 4 again. Subtracting 2 from 4 gives back 2, which confirms it. There is no "
        "trick here, such as another number base or joining strings, so a short reply is best.",
        "The answer is 4.",
    ),
    r"capital of france": Thought(
        "The user wants to know the capital of France. Several French cities are large, Marseille, Lyon and "
        "Toulouse among them, but none of these is the seat of government. Versailles was the seat of the "
        "kings for a while, which is history. The president, the parliament and the ministries are all in "
        "Paris, and have been for most of a thousand years. One short sentence will do.",
        "The capital of France is Paris.",
    ),
    r"sky.*blue|blue.*sky": Thought(
        "The user asks why the sky is blue. Sunlight holds all colours, so something on its way must favour "
        "one of them. Molecules of air are far smaller than the wavelength of light, which makes this "
        "Rayleigh scattering: its strength grows with the inverse fourth power of the wavelength. Comparing "
        "450 nm with 700 nm gives (700/450)^4, almost six times more for blue. Violet scatters even more, "
        "but the sun sends less of it and our eyes see it poorly. The same effect reddens sunsets.",
        "The sky is blue because air scatters short wavelengths of sunlight much more than long ones. "
        "That scattered blue light reaches us from every direction.",
    ),
}
GENERIC = Thought(
    'The user writes: "{quote}". First I should work out what is being asked, then which facts matter, and '
    "last how long the reply ought to be. The words are plain, so there is no hidden question to look for. I "
    "have no canned knowledge about this subject, and inventing facts would be worse than saying so. It is "
    "best to show that the message was read by quoting how it begins, and to keep the rest short.",
    'This is a canned answer to "{quote}".',
)
TOOL_CALL = Thought(
    'The user writes: "{quote}". I cannot know this by myself, but a tool is at hand that can look it up. '
    "I will call it with what the user gave me and wait for the result.",
    "",
)
TOOL_RESULT = Thought(
    "The tool has sent its result. It fits the question, so there is no need to call it again, and I only "
    "have to pass on what it says.",
    "According to the tool: {quote}",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How the mock behaves; the fields are named as on its command line."""

    host: str = "127.0.0.1"
    port: int = 9000  # 0: the system chooses
    tokens_per_second: float = 50.0  # 0: as fast as it can
    first_token_delay: float = 0.0  # seconds after the headers
    chunk_size: int = 0  # characters a delta; 0: words with their leading space, and markers whole
    split_markers: bool = False  # cut markers over deltas that hold text too; only where chunk_size is 0
    think_seconds: float = 0.0  # repeat the reasoning until it takes so long at this pace; 0: say it once
    traces: tuple[Trace, ...] = ()  # recorded answers to replay instead of the canned ones


class Message(Struct):
    """One message of the conversation, as far as the mock reads it."""

    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """All its text."""
        if isinstance(self.content, list):
            return "".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class ChatRequest(Struct):
    """The fields of a request that the mock obeys; all others are ignored."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    model: str = "default"
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: Annotated[int, Meta(ge=1, le=8)] | None = None
    tools: list[dict[str, Any]] | None = None


class Reply(Struct, frozen=True):
    """One choice of an answer: its message, and the same as deltas, one a token."""

    message: dict[str, Any]
    deltas: list[Delta]
    finish_reason: str
    reasoning_tokens: int


def load_traces(path: Path) -> tuple[Trace, ...]:
    """Read recorded answers, one JSON object a line; may raise an OSError or a msgspec.DecodeError."""
    return tuple(msgspec.json.Decoder(Trace).decode_lines(path.read_bytes()))


def tokenize(text: str, options: Options) -> list[str]:
    """Cut *text* into the pieces that the deltas carry, none of them empty."""
    if options.chunk_size:
        starts = list(range(0, len(text), options.chunk_size))
    else:
        starts = sorted({0, *_word_starts(text, split_markers=options.split_markers)})
    return [text[start:end] for start, end in pairwise([*starts, len(text)]) if start < end]


def _word_starts(text: str, *, split_markers: bool) -> Iterator[int]:
    """Yield where tokens begin. A split marker shares its first and last character with its neighbours."""
    position = 0
    for number, part in enumerate(MARKER.split(text)):  # odd parts are the markers
        end = position + len(part)
        if number % 2:
            yield from (position + 1, (position + end) // 2, end - 1) if split_markers else (position,)
        else:
            words = [position + word.start() for word in WORD.finditer(part)]
            yield from words[1:] if split_markers and number else words
        position = end


def choose_thought(chat: ChatRequest, options: Options) -> Thought:
    """Find an answer: by trace number, by prompt among the traces, by keyword, or the generic one."""
    prompt = next((message.text for message in reversed(chat.messages) if message.role == "user"), "")
    if options.traces:
        numbered = {f"trace-{number}": trace for number, trace in enumerate(options.traces)}
        some = options.traces[crc32(prompt.encode()) % len(options.traces)]
        asked = next((trace for trace in options.traces if trace.prompt == prompt), some)
        return numbered.get(chat.model, asked)
    found = (thought for pattern, thought in CANNED.items() if re.search(pattern, prompt, re.IGNORECASE))
    return next(found, None) or _quoting(GENERIC, prompt)


def _quoting(thought: Thought, text: str) -> Thought:
    """Put the first words of *text* into *thought*, without what a marker is made of."""
    quote = " ".join(re.sub(r"[<>|]", "", text).split()[:8])
    return Thought(thought.reasoning.format(quote=quote), thought.answer.format(quote=quote))


def compose(chat: ChatRequest, options: Options, index: int) -> Reply:
    """Write choice *index* of the answer to *chat*; the choices differ in their last words."""
    thought, calls, last = choose_thought(chat, options), list[Delta](), chat.messages[-1]
    if chat.model == "mock-tools" and last.role == "tool":
        thought = _quoting(TOOL_RESULT, last.text)
    elif chat.model == "mock-tools" and chat.tools:
        thought, calls = _quoting(TOOL_CALL, last.text), [_call(chat.tools[0], last.text)]
    reasoning, answer = thought.reasoning, thought.answer + (f" (choice {index})" if index else "")
    if options.think_seconds:
        enough = round(options.think_seconds * options.tokens_per_second)
        reasoning = "".join(islice(cycle(tokenize(f" {reasoning}", options)), enough)).lstrip()
    # "Therefore, the answer", but "Therefore, I" and "Therefore, DNA" keep their capital.
    conclusion = answer[:1].lower() + answer[1:] if answer[1:2].islower() else answer
    family = FAMILIES.get(chat.model, FAMILIES["mock-think"])
    texts = {
        field: form.format(reasoning=reasoning, answer=answer, conclusion=conclusion)
        for field, form in family.items()
    }
    tokens: list[Delta] = [{field: token} for field in texts for token in tokenize(texts[field], options)]
    return Reply(
        {"role": "assistant", **texts} | ({"tool_calls": calls} if calls else {}),
        tokens + [delta for call in calls for delta in _call_deltas(call)],
        "tool_calls" if calls else "stop",
        len(tokens) - len(tokenize(answer, options)),
    )


def _call(tool: dict[str, Any], prompt: str) -> dict[str, Any]:
    """Call *tool*, every parameter set to the prompt."""
    function = tool.get("function", {})
    arguments = dict.fromkeys(function.get("parameters", {}).get("properties", {}), prompt)
    called = {"name": function.get("name", "tool"), "arguments": msgspec.json.encode(arguments).decode()}
    return {"id": f"call_{uuid4().hex}", "type": "function", "function": called}


def _call_deltas(call: dict[str, Any]) -> list[Delta]:
    """Cut *call* into deltas: its name, then its arguments, cut anywhere."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    head = {"index": 0, **call, "function": {"name": name, "arguments": ""}}
    pieces = (arguments[start : start + 7] for start in range(0, len(arguments), 7))
    tail = ({"index": 0, "function": {"arguments": piece}} for piece in pieces)
    return [{"tool_calls": [part]} for part in (head, *tail)]


class _ConnectionCut(Exception):  # noqa: N818 (a fault that was ordered)
    """The connection is to be closed in mid-answer."""


def sabotage(steps: Iterator[bytes], fault: str, after: int) -> Iterator[bytes]:
    """Let *after* steps pass, then do what *fault* says; an empty step means silence for ever.

    Raises:
        _ConnectionCut: where the connection is to be cut.
    """
    yield from islice(steps, after)
    match fault:
        case "cut":
            raise _ConnectionCut
        case "stall":
            yield b""
        case "malformed":
            yield b'data: {"choices": [{"index": 0, "delta": {"content": \n\n'
    yield from steps


def stream(chat: ChatRequest, replies: Sequence[Reply], fault: str, after: int) -> Iterator[bytes]:
    """Write the answer as server-sent events: a step for the roles, one a token, one for the end."""
    wants_usage = (chat.stream_options or {}).get("include_usage")
    head = _head(chat, "chat.completion.chunk") | ({"usage": None} if wants_usage else {})

    def event(**body: object) -> bytes:
        return b"data: %b\n\n" % msgspec.json.encode(head | body)

    def row(deltas: Sequence[Delta | None], finish: Sequence[str] = ()) -> bytes:
        choices = (
            {"index": index, "delta": delta, "finish_reason": reason}
            for index, (delta, reason) in enumerate(zip_longest(deltas, finish))
            if delta is not None  # a shorter choice has ended
        )
        return b"".join(event(choices=[choice]) for choice in choices)

    yield row([{"role": "assistant", "content": ""}] * len(replies))
    rows = (row(deltas) for deltas in zip_longest(*(reply.deltas for reply in replies)))
    yield from sabotage(rows, fault, after)
    end = row([{}] * len(replies), [reply.finish_reason for reply in replies])
    usage = event(choices=[], usage=_usage(chat, replies)) if wants_usage else b""
    yield end + usage + b"data: [DONE]\n\n"


def whole(chat: ChatRequest, replies: Sequence[Reply], fault: str) -> Iterator[bytes]:
    """Write the answer as one object in one step; a fault strikes before it."""
    choices = [
        {"index": index, "message": reply.message, "finish_reason": reply.finish_reason}
        for index, reply in enumerate(replies)
    ]
    body = _head(chat, "chat.completion") | {"choices": choices, "usage": _usage(chat, replies)}
    return sabotage(iter((msgspec.json.encode(body),)), fault, after=0)


def _head(chat: ChatRequest, kind: str) -> dict[str, Any]:
    identity = f"chatcmpl-{uuid4().hex}"
    return {"id": identity, "object": kind, "created": int(time.time()), "model": chat.model}


def _usage(chat: ChatRequest, replies: Sequence[Reply]) -> dict[str, Any]:
    prompt = sum(len(message.text.split()) for message in chat.messages)
    completion = sum(len(reply.deltas) for reply in replies)
    reasoning = sum(reply.reasoning_tokens for reply in replies)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


class Stats(Struct):
    """The chat requests so far: ``requests == active + completed + aborted``."""

    requests: int = 0
    active: int = 0
    completed: int = 0  # a connection cut by order of the model id is one of these
    aborted: int = 0  # left by their client before the answer was whole
    last_aborted_at: float | None = None  # on the clock of time.monotonic()

    def begin(self) -> None:
        """A request has come."""
        self.requests += 1
        self.active += 1

    def end(self, *, completed: bool) -> None:
        """It is over."""
        self.active -= 1
        if completed:
            self.completed += 1
        else:
            self.aborted, self.last_aborted_at = self.aborted + 1, time.monotonic()


class _PacedBody(ResponseBody):
    """Hands out a step every *tick* seconds after *delay*; a late step does not put off the next.

    An object rather than a generator, so that cancellation always reaches ``__aexit__``, and at once. Quart
    leaves it before the last, empty write; hypercorn's belated "client has disconnected", which comes during
    that write after every answer, is therefore not mistaken for a client that left.
    """

    def __init__(self, steps: Iterator[bytes], stats: Stats, *, delay: float, tick: float) -> None:
        self._steps, self._stats, self._tick = steps, stats, tick
        self._due = trio.current_time() + delay

    async def __aenter__(self) -> _PacedBody:
        self._stats.begin()
        return self

    async def __aexit__(self, exc_type: type, exc_value: BaseException, tb: TracebackType) -> None:
        self._stats.end(completed=exc_type in (None, _ConnectionCut))

    def __aiter__(self) -> _PacedBody:
        return self

    async def __anext__(self) -> bytes:
        step = next(self._steps, None)
        if step is None:
            raise StopAsyncIteration
        if self._due > trio.current_time():  # else the write is checkpoint enough
            await trio.sleep_until(self._due)
        self._due += self._tick
        return step or await trio.sleep_forever()


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, content_type="application/json")


def _error(status: int, message: str, headers: dict[str, str], **fields: str | None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields
    return _json({"error": error}, status, headers)


class _MockApp(QuartTrio):
    """The application: its views, and the one place where a connection is cut."""

    def __init__(self, options: Options) -> None:
        super().__init__(__name__, static_folder=None)
        self._options, self._stats = options, Stats()
        faults = (f"fault-{name}-{tokens}" if tokens else f"fault-{name}" for name, tokens in FAULTS.items())
        traces = (f"trace-{number}" for number in range(len(options.traces)))
        self._models = {
            name: {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "mock"}
            for name in chain(("default",), FAMILIES, faults, traces)
        }
        self.add_url_rule("/v1/chat/completions", view_func=self.chat, methods=["POST"])
        self.add_url_rule("/v1/models", view_func=self.list_models)
        self.add_url_rule("/v1/models/<path:name>", view_func=self.show_model)
        self.add_url_rule("/v1/mock/stats", view_func=self.show_stats)
        self.register_error_handler(HTTPException, self.http_error)

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            await super().asgi_app(scope, receive, send)
        except* _ConnectionCut:
            pass  # hypercorn closes a connection whose application returns in mid-answer

    async def chat(self) -> Response:
        try:
            chat = msgspec.json.decode(await request.get_data(as_text=False), type=ChatRequest)
        except msgspec.DecodeError as error:  # the body is not JSON, or no chat request
            where = re.search(r"`\$\.(.+)`$", str(error))
            return _error(400, str(error), {}, param=where[1] if where else None)
        found = FAULT_ID.fullmatch(chat.model)
        fault, after = (found[1], int(found[2] or FAULTS[found[1]])) if found else ("", 0)
        if fault in ("mute", "429", "500"):
            return await self._refuse(fault)
        return self._answer(chat, fault, after)

    async def _refuse(self, fault: str) -> Response:
        self._stats.begin()
        try:
            if fault == "mute":
                await trio.sleep_forever()
        finally:
            self._stats.end(completed=fault != "mute")
        if fault == "500":
            return _error(500, "The server had an error.", {}, type="server_error")
        wait, code = {"Retry-After": "2"}, "rate_limit_exceeded"
        return _error(429, "Rate limit reached. Try again in 2s.", wait, type="requests", code=code)

    def _answer(self, chat: ChatRequest, fault: str, after: int) -> Response:
        options = self._options
        replies = [compose(chat, options, index) for index in range(chat.n or 1)]
        delay = options.first_token_delay
        tick = 1 / options.tokens_per_second if options.tokens_per_second else 0.0
        if chat.stream:
            steps, content_type = stream(chat, replies, fault, after), "text/event-stream; charset=utf-8"
        else:
            steps, content_type = whole(chat, replies, fault), "application/json"
            delay += tick * max(len(reply.deltas) for reply in replies)
        if fault == "drip":
            steps, tick = (bytes((byte,)) for step in steps for byte in step), 1.0
        body = _PacedBody(steps, self._stats, delay=delay, tick=tick)
        response = Response(body, headers={"Cache-Control": "no-cache"}, content_type=content_type)
        response.timeout = None  # else quart ends every answer after a minute
        return response

    async def list_models(self) -> Response:
        return _json({"object": "list", "data": list(self._models.values())})

    async def show_model(self, name: str) -> Response:
        if name in self._models:
            return _json(self._models[name])
        return _error(404, f"The model '{name}' does not exist.", {}, param="model", code="model_not_found")

    async def show_stats(self) -> Response:
        return _json(self._stats)

    async def http_error(self, error: HTTPException) -> Response:
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        return _error(error.code or 500, error.description or error.name, headers)


def create_mock(options: Options) -> QuartTrio:
    """Build the ASGI application; :func:`serve_mock` serves it."""
    return _MockApp(options)


async def serve_mock(
    options: Options, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; ``nursery.start`` gives ``"http://HOST:PORT"`` as soon as it listens.

    Raises:
        OSError: the address cannot be listened on.
    """
    # Bound here rather than by hypercorn, so that a busy port is one plain OSError.
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.create_server((options.host, options.port), family=family)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 1024
    config.errorlog = logging.getLogger("mock_llm")
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(partial(serve, create_mock(options), config))
        task_status.started(urls[0])


def _parse(argv: Sequence[str] | None) -> Options:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("mock_llm.py", description=__doc__, formatter_class=raw)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mock from the command line until SIGINT or SIGTERM; give the exit code."""
    options = _parse(argv)
    try:
        trio.run(_run, options)
    except* OSError as errors:
        where, why = f"{options.host}:{options.port}", errors.exceptions[0]
        print(f"mock_llm.py: cannot listen on {where}: {why}; see --port and MOCK_PORT", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
