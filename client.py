"""The terminal client: ask the gateway, and watch the three phases of the answer arrive.

The final output goes to stdout and everything else to stderr, so ``client.py --prompt … > answer.txt``
keeps the answer alone. ``Answer`` makes sense of events and does no I/O; ``Screen`` knows the two output
streams and no network; the functions below them drive both, over HTTP or over WebSocket. One answer is one
``trio.run``: between answers there is only a line to read, and Ctrl-C there needs no event loop.

Everything a model or server sent is a stranger's text: its control characters never reach a terminal
(``--raw`` excepted, which shows just what came).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import os
import re
import select
import signal
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar

import httpx
import msgspec
import trio
from markdown_it import MarkdownIt
from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.markdown import Markdown
from rich.rule import Rule
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from trio_gateway.core.encoder import PREFIXES
from trio_gateway.core.phases import Phase, PhaseOrder, PhaseOrderError
from trio_gateway.core.sse import DONE, LineTooLongError, SSEDecoder, SSEEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_websocket import WebSocketConnection

__all__ = ["Answer", "Piece", "ProtocolError", "main"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# Seconds. While it streams, the gateway sends a heartbeat at least every 15 s, so a minute's silence is a
# dead line; an answer in one piece says nothing before it is whole, a little within the gateway's own limit.
CONNECT_TIMEOUT, STREAM_TIMEOUT, WHOLE_TIMEOUT = 10.0, 60.0, 960.0
# How long a WebSocket may take to confirm that an answer was cancelled, or to part.
PARTING_TIMEOUT = 2.0
# How long a prompt waits for piped text to begin or end: an idle stdin must not hang the client.
STDIN_TIMEOUT = 0.5

COLOURS = {Phase.PROMPT_SUMMARY: "cyan", Phase.REASONING_SUMMARY: "magenta", Phase.FINAL_OUTPUT: "green"}
# Tokens of a text that Markdown would not change.
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "softbreak"}
CONTROLS = dict.fromkeys(code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t")
ABOUT = """Ask the gateway and watch the answer come: its summaries on stderr, the final output on stdout.
Piped text is added to the prompt after a blank line. No prompt on a terminal: a conversation begins."""
CHAT = "/v1/chat/completions"
STATES = {"closed": "green", "half_open": "yellow", "open": "red"}
ERROR_DETAILS = ("code", "status", "phase", "retry_after", "request_id")
COMMANDS = """\
/help          this list
/clear         forget the conversation
/system TEXT   set the system message; without TEXT, drop it
/model NAME    ask another model
/save FILE     write the conversation to a file, as a request body
/load FILE     go on with a conversation from a file
/bye           leave (also Ctrl-D)
\"\"\"            begins and ends a message of several lines
Ctrl-C         stops the answer"""

T = TypeVar("T")


class ProtocolError(Exception):
    """The server sent what the format ``phases`` does not allow."""


class Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        return self.content or self.refusal or ""


class Choice(msgspec.Struct):
    delta: Message = msgspec.field(default_factory=Message)
    message: Message = msgspec.field(default_factory=Message)
    finish_reason: str | None = None


class Frame(msgspec.Struct):
    """What the client reads of any JSON of the gateway: chunk, phase change, error or whole answer."""

    phase: Phase | None = None
    choices: list[Choice] = []
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    phases: dict[Phase, str | None] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to show. *opens*: it is the first of its phase; a phase may open with no text yet."""

    phase: Phase
    text: str
    opens: bool


@dataclass(slots=True)
class Answer:
    """One answer as far as it has come. Feed it events; it gives back what there is to show."""

    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    _texts: dict[Phase, list[str]] = field(default_factory=lambda: {phase: [] for phase in Phase})
    _order: PhaseOrder = field(default_factory=PhaseOrder)

    def feed(self, event: SSEEvent) -> Piece | None:
        """Take the next event of a stream.

        Raises:
            ProtocolError: it is not JSON of the gateway, or its phase is out of order.
        """
        if self.done or event.data == DONE:
            self.done = True
            return None
        frame = self._settle(event.data)
        text = "".join(choice.delta.text for choice in frame.choices)
        if frame.phase is None:
            if text:
                raise ProtocolError("text outside of a phase: is this the gateway, not a model's server?")
            return None
        try:
            opens = self._order.accept(frame.phase)
        except PhaseOrderError as exc:
            raise ProtocolError(str(exc)) from exc
        if event.event == "phase" and not opens:
            raise ProtocolError(f"phase {frame.phase} came twice")
        return self._piece(frame.phase, text, opens=opens)

    def take_whole(self, body: bytes) -> list[Piece]:
        """Take an answer that was not streamed.

        Raises:
            ProtocolError: it is not JSON of the gateway.
        """
        frame = self._settle(body)
        self.done = True
        texts = {phase: PREFIXES[phase] + text for phase, text in frame.phases.items() if text}
        texts[Phase.FINAL_OUTPUT] = "".join(choice.message.text for choice in frame.choices)
        return [self._piece(phase, texts[phase], opens=True) for phase in Phase if texts.get(phase)]

    def fail(self, code: str, message: str) -> None:
        """Note a failure found on this side. The first error stands: what follows is its consequence."""
        self.error = self.error or {"message": message, "type": "client_error", "param": None, "code": code}

    @property
    def content(self) -> str:
        """The final output, exactly."""
        return "".join(self._texts[Phase.FINAL_OUTPUT])

    @property
    def exit_code(self) -> int:
        if self.error is None:
            return OK
        return INTERRUPTED if self.error.get("code") == "interrupted" else FAILED

    def as_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: summaries without their prefixes, null what did not come."""
        return {
            "prompt_summary": self._summary(Phase.PROMPT_SUMMARY),
            "reasoning_summary": self._summary(Phase.REASONING_SUMMARY),
            "content": self.content,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "error": self.error,
        }

    def _settle(self, data: str | bytes) -> Frame:
        frame = decode(data, Frame)
        self.error = self.error or frame.error
        self.usage = frame.usage or self.usage
        for choice in frame.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
        return frame

    def _piece(self, phase: Phase, text: str, *, opens: bool) -> Piece:
        self._texts[phase].append(text)
        return Piece(phase, text, opens)

    def _summary(self, phase: Phase) -> str | None:
        return "".join(self._texts[phase]).removeprefix(PREFIXES[phase]).strip() or None


class Envelope(msgspec.Struct):
    """A WebSocket message: an event, and its data as it stands in a stream."""

    event: str
    data: msgspec.Raw


def unpack(message: bytes) -> SSEEvent:
    envelope = decode(message, Envelope)
    data = bytes(envelope.data).decode()
    return SSEEvent(envelope.event, DONE if data == f'"{DONE}"' else data)


def decode(data: str | bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ProtocolError(f"this is not an answer of the gateway: {exc}") from exc


def to_json(value: object, *, indent: int | None = None) -> bytes:
    # "replace": bytes of the command line that are not UTF-8 are lone surrogates here.
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace")


def clean(text: str) -> str:
    """*text* without the control characters by which it could drive a terminal."""
    return text.translate(CONTROLS)


def error_line(error: dict[str, Any]) -> str:
    """An OpenAI error object on one line, with what helps to act on it."""
    details = [f"{name} {error[name]}" for name in ERROR_DETAILS if error.get(name) is not None]
    message = " ".join(str(error.get("message") or "unknown").split())
    return f"error: {message}" + (f" ({', '.join(details)})" if details else "")


def open_console(stream: TextIO) -> Console:
    """*stream* for rich: colour on a terminal only, and with ``NO_COLOR`` no bold or underline either."""
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, color_system=system, force_terminal=stream.isatty())


def parse_markdown(text: str) -> Markdown | None:
    """*text* typeset; None where it has no markup and stands as well as it is.

    Unlike rich's own reading, HTML and LaTeX (whose backslashes look like escapes) and links to pictures
    stand as they are, and a line break is kept.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    tokens = parser.disable(["escape", "image"]).parse(text)
    inside = [child for token in tokens for child in token.children or ()]
    if {token.type for token in (*tokens, *inside)} <= PLAIN:
        return None
    for token in inside:
        token.type = token.type.replace("softbreak", "hardbreak")
    # Not hyperlinks=True: it would hide where a stranger's link leads.
    markdown = Markdown("", style=COLOURS[Phase.FINAL_OUTPUT], code_theme="ansi_dark", hyperlinks=False)
    markdown.parsed = tokens
    return markdown


class Screen:
    """Where the parts of an answer go: final output to stdout as it comes, all else to stderr.

    On a terminal both are one screen, so it remembers which of the two has begun a line. There the output
    streams as plain text, and is typeset in its place when it is complete.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._quiet = options.raw or options.json
        self._err, self._out = open_console(sys.stderr), open_console(sys.stdout)
        self._coloured = self._out.color_system is not None
        self._style = Style.parse(COLOURS[Phase.FINAL_OUTPUT]) if self._coloured else Style.null()
        self._line: Literal["out", "err"] | None = None
        self._held = ""
        self.begin()

    def begin(self) -> None:
        """A request is being sent: times count from here."""
        self._sent = self._phase_began = time.monotonic()
        self._answered = False

    def mark(self, what: str) -> None:
        """With ``-v``: *what* happened now."""
        if self._options.verbose:
            self.note(f"{time.monotonic() - self._sent:8.3f} s  {what}")

    def note(self, text: str, style: str = "bright_black") -> None:
        """A line of its own on stderr."""
        self._end_line()
        self._err.print(Text(clean(text), style), soft_wrap=True)

    def show(self, piece: Piece | None) -> None:
        """A piece of the answer, if there is one, where and how its phase is shown."""
        if piece is None:
            return
        if piece.opens:
            self._end_line()
            self.mark(piece.phase)
            self._phase_began = time.monotonic()
        hidden = self._options.hide_reasoning and piece.phase is Phase.REASONING_SUMMARY
        if not piece.text or self._quiet or hidden:
            return
        if piece.phase is Phase.FINAL_OUTPUT:
            self._output(piece.text)
        else:
            self._summary(piece.text, COLOURS[piece.phase])

    def arrived(self, chunk: bytes) -> None:
        """Bytes as they were received."""
        if not self._answered:
            self._answered = True
            self.mark("first byte")
        if self._options.raw:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()

    def finish(self, answer: Answer) -> None:
        """The answer is over, well or not."""
        self._end_line()
        if self._coloured and not self._quiet and answer.error is None:
            self._typeset(clean(answer.content))
        if self._options.json:
            self._output(to_json(answer.as_dict()).decode() + "\n")
        if answer.finish_reason not in {None, "stop", "error"}:
            self.note(f"The model ended with: {answer.finish_reason}")
        self.mark(f"end: {self._speed(answer)}")
        if answer.error is not None:
            self.note(error_line(answer.error), "red")

    def _speed(self, answer: Answer) -> str:
        count, since, unit = len(answer.content), self._phase_began, "characters of output"
        tokens = (answer.usage or {}).get("completion_tokens")
        if isinstance(tokens, int):
            count, since, unit = tokens, self._sent, "tokens with reasoning"
        return f"{count} {unit}, {count / max(time.monotonic() - since, 1e-3):.0f} a second"

    def _output(self, text: str) -> None:
        self._line = None if text.endswith("\n") else "out"
        sys.stdout.write(self._style.render(clean(text)) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def _typeset(self, text: str) -> None:
        """Show the complete output as Markdown in the place of the plain text just above."""
        if (markdown := parse_markdown(text)) is None:
            return
        width, height = self._out.size
        lines = text.removesuffix("\n").split("\n")
        rows = sum(max(1, -(-cell_len(line.expandtabs()) // width)) for line in lines)
        self._out.file.write(f"\x1b[{rows}F\x1b[J")
        if rows >= height:  # all that was on the screen is gone, but not what has scrolled off
            self._out.print(Rule(style="bright_black"))
        self._out.print(markdown)

    def _summary(self, text: str, colour: str) -> None:
        # White space at the end waits for more text: the blank line that closes a phase is for clients
        # that join all content.
        text = self._held + text
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if shown:
            self._err.print(Text(clean(re.sub(r"\s*\n", "\n", shown)), colour), end="", soft_wrap=True)
            self._line = "err"

    def _end_line(self) -> None:
        if self._line == "out":
            sys.stdout.write("\n")
            sys.stdout.flush()
        elif self._line == "err":
            self._err.print()
        self._line, self._held = None, ""


class Saved(msgspec.Struct):
    """What ``/load`` takes: as much of a request's body as ``/save`` writes."""

    messages: list[dict[Literal["role", "content"], str]]
    model: str = ""


@dataclass(slots=True)
class Conversation:
    """What the model is told: the system message and the turns so far, final outputs only."""

    model: str
    system: str | None
    turns: list[dict[Literal["role", "content"], str]] = field(default_factory=list)

    @property
    def body(self) -> dict[str, Any]:
        """A request's body as far as the conversation goes; what ``/save`` writes."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"model": self.model, "messages": [*system, *self.turns]}

    def request(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """The request that asks *prompt* after all that went before."""
        body = self.body
        body["messages"].append({"role": "user", "content": prompt})
        return body | {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {})

    def keep(self, prompt: str, content: str) -> None:
        """Add a turn, if there was an answer at all."""
        if content:
            self.turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": content}]

    def load(self, saved: bytes) -> None:
        """Put what was saved in the place of what was said so far.

        Raises:
            ProtocolError: it is no conversation.
        """
        body = decode(saved, Saved)
        self.turns, self.model = body.messages, body.model or self.model
        has_system = bool(self.turns) and self.turns[0].get("role") == "system"
        self.system = self.turns.pop(0).get("content") if has_system else None


@contextlib.contextmanager
def interruptible(answer: Answer) -> Iterator[trio.CancelScope]:
    """Ctrl-C ends this context, and is kept in ``answer.error``."""
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:
        before = signal.signal(signal.SIGINT, lambda *_: token.run_sync_soon(scope.cancel))
        try:
            yield scope
        finally:
            signal.signal(signal.SIGINT, before)
    if scope.cancelled_caught:
        answer.fail("interrupted", "stopped by Ctrl-C")


@contextlib.contextmanager
def failures_noted(answer: Answer, url: str) -> Iterator[None]:
    """A failing exchange ends this context, and is kept in ``answer.error``."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        where = httpx.URL(url).netloc.decode()  # not the whole URL: it may hold a password
        answer.fail("unreachable", f"cannot reach {where}; is the gateway running? ./run serve starts it")
    except (httpx.TimeoutException, trio.TooSlowError):  # the latter: a WebSocket's ping that has no answer
        answer.fail("timeout", "the gateway has gone silent")
    except httpx.RequestError as exc:  # sending, reading
        answer.fail("connection_lost", f"the connection broke: {exc}")
    except (ProtocolError, LineTooLongError) as exc:  # making sense of what was read
        answer.fail("protocol", str(exc))


def headers(options: Namespace) -> dict[str, str]:
    key = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    return {"X-Stream-Format": "phases", **key}


def open_client(options: Namespace, *, silence: float) -> httpx.AsyncClient:
    """A client for the gateway that gives up after *silence* seconds without a byte."""
    plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    timeout = httpx.Timeout(silence, connect=CONNECT_TIMEOUT)
    return httpx.AsyncClient(base_url=options.url, headers=plain | headers(options), timeout=timeout)


async def ask(options: Namespace, request: dict[str, Any], screen: Screen) -> Answer:
    """Send *request* and show the answer; whatever goes wrong is in ``Answer.error``."""
    answer = Answer()
    exchange = exchange_frames if options.ws else exchange_http
    screen.begin()
    with interruptible(answer), failures_noted(answer, options.url):
        await exchange(options, to_json(request), screen, answer)
    screen.finish(answer)
    return answer


async def exchange_http(options: Namespace, body: bytes, screen: Screen, answer: Answer) -> None:
    silence = WHOLE_TIMEOUT if options.no_stream else STREAM_TIMEOUT
    async with (
        open_client(options, silence=silence) as client,
        client.stream("POST", CHAT, content=body) as response,
    ):
        if response.status_code != 200:
            answer.error = refusal(response, await response.aread())
        elif options.no_stream:
            screen.arrived(await response.aread())
            for piece in answer.take_whole(response.content):
                screen.show(piece)
        else:
            await follow(response, screen, answer)


async def follow(response: httpx.Response, screen: Screen, answer: Answer) -> None:
    """Show a stream as it comes, up to its ``[DONE]``."""
    decoder = SSEDecoder()
    failure: Exception | None = None
    # Leaving the loop half-way would abandon the generators inside httpx; a cancelled read unwinds them.
    with trio.CancelScope() as reading:
        async for chunk in response.aiter_bytes():
            if reading.cancel_called:
                continue
            try:
                take(chunk, decoder, screen, answer)
            except Exception as exc:
                failure = exc
            if failure is not None or answer.done:
                reading.cancel()
    if failure is not None:
        raise failure
    if not answer.done and all(event.data != DONE for event in decoder.finish()):
        answer.fail("truncated", "the stream ended without [DONE]: the answer may be cut short")


def take(chunk: bytes, decoder: SSEDecoder, screen: Screen, answer: Answer) -> None:
    screen.arrived(chunk)
    for event in decoder.feed(chunk):
        screen.show(answer.feed(event))


async def exchange_frames(options: Namespace, body: bytes, screen: Screen, answer: Answer) -> None:
    """The same over WebSocket. A socket an answer: between two there is none to keep alive, or to lose."""
    import trio_websocket as ws
    from wsproto.utilities import LocalProtocolError

    url = httpx.URL(options.url)
    host, path = url.netloc.decode().rpartition("@")[2], url.path.rstrip("/") + CHAT
    open_socket = functools.partial(
        ws.wrap_client_stream,
        extra_headers=[(name.encode(), value.encode()) for name, value in headers(options).items()],
        message_queue_size=1000,  # for next_message: a pong must not stand behind messages
    )
    try:
        async with await open_stream(url) as stream, trio.open_nursery() as nursery:
            with failures_noted(answer, options.url):
                try:
                    with trio.fail_after(CONNECT_TIMEOUT):
                        if isinstance(stream, trio.SSLStream):
                            await stream.do_handshake()  # else its failure would be kept from us
                        socket = await open_socket(nursery, stream, host, path)
                    await follow_frames(socket, body, screen, answer)
                except trio.BrokenResourceError as exc:  # TLS
                    raise httpx.ConnectError(str(exc)) from exc
                except ws.ConnectionClosed as exc:  # sending, receiving
                    code = exc.reason and f"{exc.reason.code} {exc.reason.name}"
                    raise httpx.ReadError(f"the WebSocket was closed with {code}") from exc
            nursery.cancel_scope.cancel()
    except* ws.ConnectionRejected as refused:  # an HTTP answer in the place of the upgrade
        for told in refused.exceptions:
            if isinstance(told, ws.ConnectionRejected):
                response = httpx.Response(told.status_code, headers=told.headers)
                answer.error = refusal(response, told.body or b"")
    except* LocalProtocolError:
        pass  # from the library, where a ping of the gateway's crosses our close: the answer is here by then


async def open_stream(url: httpx.URL) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            if url.scheme == "http":
                return await trio.open_tcp_stream(url.host, url.port or 80)
            return await trio.open_ssl_over_tcp_stream(url.host, url.port or 443, https_compatible=True)
    except (OSError, trio.TooSlowError) as exc:  # resolving, connecting
        raise httpx.ConnectError(str(exc)) from exc


async def follow_frames(socket: WebSocketConnection, body: bytes, screen: Screen, answer: Answer) -> None:
    """Show an answer as it comes, up to its ``[DONE]``; Ctrl-C cancels it at the gateway."""
    with interruptible(answer) as scope:
        await socket.send_message(body.decode())
        while not answer.done:
            message = await next_message(socket)
            screen.arrived(message + b"\n")
            screen.show(answer.feed(unpack(message)))
    with trio.move_on_after(PARTING_TIMEOUT):  # another Ctrl-C waits no longer, either
        if scope.cancelled_caught:
            await socket.send_message('{"type": "cancel"}')
            while unpack(await next_message(socket)).data != DONE:
                pass
        await socket.aclose()


async def next_message(socket: WebSocketConnection) -> bytes:
    """The next message, however long the model thinks.

    Raises:
        trio.TooSlowError: the line is dead.
    """
    while True:
        with trio.move_on_after(STREAM_TIMEOUT):
            message = await socket.get_message()
            return message.encode() if isinstance(message, str) else message
        # The gateway's heartbeat is a ping, which the library answers unseen.
        with trio.fail_after(CONNECT_TIMEOUT):
            await socket.ping()


def refusal(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """The error of an answer with an HTTP status, whether or not it has an OpenAI error object."""
    told: dict[str, Any] = {"message": f"the server answered: {response.reason_phrase}"}
    with contextlib.suppress(ProtocolError):  # a page of some other server
        told |= decode(body, Frame).error or {}
    told.setdefault("status", response.status_code)
    told.setdefault("retry_after", response.headers.get("retry-after"))
    return told


class Backend(msgspec.Struct):
    state: str
    failure_rate: float
    calls: int
    in_flight: int
    slow_rate: float = 0.0
    open_until_s: float = 0.0
    opened_total: int = 0
    last_error_class: str | None = None


class Health(msgspec.Struct):
    status: str
    version: str
    uptime_s: float
    active_streams: int
    upstreams: dict[str, Backend]


async def check_health(options: Namespace, screen: Screen) -> int:
    """Print the gateway's state. Fails when it cannot be reached or is unavailable."""
    answer = Answer()
    with interruptible(answer), failures_noted(answer, options.url):
        async with open_client(options, silence=CONNECT_TIMEOUT) as client:
            response = await client.get("/health")
        health = decode(response.content, Health)
    if answer.error is not None:
        screen.note(error_line(answer.error), "red")
        return answer.exit_code
    if options.raw or options.json:
        print(response.text)
    else:
        print_health(health)
    return FAILED if health.status == "unavailable" else OK


def print_health(health: Health) -> None:
    console = open_console(sys.stdout)
    up, streams = f"{health.uptime_s:.0f} s", health.active_streams
    line = f"status {health.status}, version {health.version}, up {up}, active streams {streams}"
    console.print(Text(clean(line)))
    breaker, numbers = Column("breaker", no_wrap=True), ("failed", "slow", "calls", "in flight", "trips")
    table = Table("upstream", breaker, *numbers, "last error", box=SIMPLE)
    for name, it in health.upstreams.items():
        left = f", {it.open_until_s:.0f} s left" if it.open_until_s else ""
        state = Text(clean(it.state + left), STATES.get(it.state, ""))
        counts = (f"{it.failure_rate:.0%}", f"{it.slow_rate:.0%}", it.calls, it.in_flight, it.opened_total)
        error = Text(clean(it.last_error_class or "-"))
        table.add_row(Text(clean(name)), state, *map(str, counts), error)
    console.print(table)


def chat(options: Namespace, screen: Screen) -> int:
    """Hold a conversation until Ctrl-D or ``/bye``."""
    with contextlib.suppress(ImportError):  # some Pythons are built without it
        import readline  # noqa: F401  (its import alone gives input() line editing, and history by arrow up)
    conversation = Conversation(options.model, options.system)
    screen.note(f"Talking to {options.model}. /help lists the commands, Ctrl-D leaves.")
    if options.prompt:
        turn(options, conversation, options.prompt, screen)
    while True:
        try:
            line = read_line(">>> ").strip()
            if line.startswith('"""'):
                turn(options, conversation, read_block(line), screen)
            elif not line.startswith("/"):
                turn(options, conversation, line, screen)
            elif line == "/bye":
                return OK
            else:
                screen.note(command(line, conversation))
        except KeyboardInterrupt:  # from read_line: an answer takes Ctrl-C itself
            screen.note("\nCtrl-D or /bye leaves.")
        except EOFError:  # from read_line
            screen.note("")
            return OK


def turn(options: Namespace, conversation: Conversation, prompt: str, screen: Screen) -> None:
    """Ask once. What came of an answer is kept even when it was stopped: it may be asked to go on."""
    if prompt.strip():
        request = conversation.request(prompt, stream=not options.no_stream)
        conversation.keep(prompt, trio.run(ask, options, request, screen).content)


def command(line: str, conversation: Conversation) -> str:
    """Carry out a line that begins with a slash; what to tell the user."""
    match line.split(maxsplit=1):
        case ["/help"]:
            return COMMANDS
        case ["/clear"]:
            conversation.turns.clear()
            return "The conversation is forgotten."
        case ["/system", *text]:
            conversation.system = text[0] if text else None
            return "The system message is set." if text else "There is no system message now."
        case ["/model", name]:
            conversation.model = name
            return f"Talking to {name}."
        case ["/save" | "/load" as verb, name]:
            return store(verb, Path(os.path.expanduser(name)), conversation)
        case _:
            return f"{line!r} is not understood; /help lists the commands."


def store(verb: str, path: Path, conversation: Conversation) -> str:
    try:
        if verb == "/save":
            path.write_bytes(to_json(conversation.body, indent=2))
            return f"Saved in {path}."
        conversation.load(path.read_bytes())
        return f"Talking to {conversation.model} about {path}: {len(conversation.turns)} messages so far."
    except OSError as exc:  # reading or writing the file
        return f"error: {path}: {exc.strerror}"
    except ProtocolError as exc:  # reading what is in it
        return f"error: {path} holds no conversation: {exc}"


def read_line(prompt: str) -> str:
    """A line of stdin. The prompt goes to stderr, except on a terminal: line editing must know of it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", file=sys.stderr, flush=True)
    return input()


def read_block(first: str) -> str:
    lines = [first.removeprefix('"""')]
    while not lines[-1].endswith('"""'):
        lines.append(read_line("... ").rstrip())
    return "\n".join(lines).removesuffix('"""').strip("\n")


def gateway_url(text: str) -> str:
    """The gateway's base URL; ``http://``, a last slash and ``/v1`` may be there or not."""
    text = text if "://" in text else f"http://{text}"
    try:
        url = httpx.URL(text.rstrip("/").removesuffix("/v1").removesuffix("/openai"))
    except httpx.InvalidURL as exc:
        raise ArgumentTypeError(str(exc)) from exc
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 80) > 65535:
        raise ArgumentTypeError("expected a URL like http://127.0.0.1:8080")
    return str(url)


def api_key(text: str) -> str:
    if not (text.strip().isascii() and text.strip().isprintable()):
        # The HTTP library would refuse it too, and quote it.
        raise ArgumentTypeError("the key holds characters that a header cannot carry")
    return text.strip()


def command_line() -> ArgumentParser:
    url = os.environ.get("GATEWAY_URL") or f"127.0.0.1:{os.environ.get('PORT') or 8080}"
    key = os.environ.get("GATEWAY_API_KEY", "")
    ends = "exit codes: 0 answered, 1 error or incomplete answer, 2 usage, 130 interrupted"
    parser = ArgumentParser("client.py", description=ABOUT, epilog=ends, allow_abbrev=False)
    add, flag = parser.add_argument, functools.partial(parser.add_argument, action="store_true")
    add("--url", type=gateway_url, default=url, help="default: $GATEWAY_URL, or port $PORT (8080) here")
    add("--prompt", metavar="TEXT", help="what to ask")
    flag("--interactive", help="hold a conversation; --prompt, if given, is its first turn")
    flag("--health", help="show the state of the gateway and its upstreams; exit code 1 if unavailable")
    flag("-v", "--verbose", help="tell when each phase began, in seconds since sending, and how fast it went")
    add("--model", default="default", metavar="NAME", help="default: %(default)s")
    add("--system", metavar="TEXT", help="system message")
    add("--key", type=api_key, default=key, help="default: $GATEWAY_API_KEY, which no process list shows")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--ws", action="store_true", help="ask over WebSocket (needs trio-websocket)")
    way.add_argument("--no-stream", action="store_true", help="ask for the answer in one piece")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="print exactly what is received")
    form.add_argument("--json", action="store_true", help="print one JSON object at the end")
    flag("-R", "--hide-reasoning", help="do not show the reasoning summary")
    return parser


def piped_text(timeout: float | None) -> str:
    """What is piped in. It must begin or end within *timeout* seconds, if any, else it is left alone."""
    if sys.stdin.isatty():
        return ""
    if timeout is not None and not select.select([sys.stdin], [], [], timeout)[0]:
        return ""
    return sys.stdin.read().strip("\n")


def run(argv: list[str] | None) -> int:
    parser = command_line()
    options = parser.parse_args(argv)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  (for the life of the process; None: was closed)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # one odd character, in or out, must not end all
    screen = Screen(options)
    if options.ws and importlib.util.find_spec("trio_websocket") is None:
        screen.note("error: --ws needs trio-websocket: python -m pip install trio-websocket", "red")
        return USAGE
    if options.health:
        return trio.run(check_health, options, screen)
    if options.interactive or (options.prompt is None and sys.stdin.isatty()):
        if options.raw or options.json:
            parser.error("--raw and --json go with a single prompt: give --prompt TEXT, or pipe it in")
        return chat(options, screen)
    piped = piped_text(None if options.prompt is None else STDIN_TIMEOUT)
    prompt = "\n\n".join(text for text in (options.prompt, piped) if text and text.strip())
    if not prompt:
        parser.error("nothing to ask: give --prompt TEXT, or pipe it in")
    request = Conversation(options.model, options.system).request(prompt, stream=not options.no_stream)
    return trio.run(ask, options, request, screen).exit_code


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code. Usage errors end in argparse's ``SystemExit(2)``."""
    try:
        return run(argv)
    except KeyboardInterrupt:  # from reading stdin: an answer takes Ctrl-C itself
        return INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has left, as in `client.py … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
