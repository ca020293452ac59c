"""The terminal client's command line: what may be asked for, and how it ends.

The final output goes to stdout and everything else to stderr, so ``client.py "…" > answer.txt`` keeps the
answer alone.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

import httpx
import trio

from .attachments import Attachment, AttachmentError, attach, read_attachment
from .health import check_health
from .reading import piped_text
from .received import FAILED, INTERRUPTED, USAGE, AnswerFormError
from .repl import chat, turn
from .screen import Screen
from .session_files import SessionFiles
from .transcript import Transcript

__all__ = ["command_line", "main"]

# How long a prompt waits for piped text to begin or end: an idle stdin must not hang the client.
STDIN_TIMEOUT = 0.5
DEFAULT = "default"

ABOUT = """Ask the gateway and watch the answer come: its summaries on stderr, the final output on stdout.
Piped text is added to the prompt after a blank line. No prompt on a terminal: a conversation begins."""


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


def attachment(name: str) -> Attachment:
    try:
        return read_attachment(name)
    except AttachmentError as exc:
        raise ArgumentTypeError(str(exc)) from exc


def command_line(prog: str = "client.py") -> ArgumentParser:
    """The parser; *prog* is what the command is called."""
    url = os.environ.get("GATEWAY_URL") or f"127.0.0.1:{os.environ.get('PORT') or 8080}"
    key = os.environ.get("GATEWAY_API_KEY", "")
    ends = "exit codes: 0 answered, 1 error or incomplete answer, 2 usage, 130 interrupted"
    parser = ArgumentParser(prog, description=ABOUT, epilog=ends, allow_abbrev=False)
    add, flag = parser.add_argument, functools.partial(parser.add_argument, action="store_true")
    add("--url", type=gateway_url, default=url, help="default: $GATEWAY_URL, or port $PORT (8080) here")
    add("question", nargs="?", metavar="PROMPT", help="what to ask")
    add("--prompt", metavar="TEXT", help="the same as an option")
    files = functools.partial(add, action="append", type=attachment, metavar="FILE", default=[])
    files("-a", "--attach", help="send a file with the question, an image or text; may be repeated")
    flag("--interactive", help="hold a conversation; the prompt, if given, is its first turn")
    flag("-c", "--continue", dest="go_on", help="go on with the last conversation")
    flag("--no-history", help="neither recall nor keep what is typed, nor keep the conversation")
    flag("--health", help="show the state of the gateway and its upstreams; exit code 1 if unavailable")
    flag("-v", "--verbose", help="tell when each phase began, in seconds since sending, and how fast it went")
    add("--model", metavar="NAME", help=f"default: {DEFAULT}, or with -c the last one")
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


def run(argv: list[str] | None, prog: str) -> int:
    parser = command_line(prog)
    options = parser.parse_args(argv)
    if options.question is not None and options.prompt is not None:
        parser.error("two prompts: give PROMPT or --prompt TEXT")
    options.prompt = options.prompt if options.question is None else options.question
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
    interactive = options.interactive or (options.prompt is None and sys.stdin.isatty())
    if interactive and (options.raw or options.json):
        parser.error("--raw and --json go with a single prompt: give PROMPT, or pipe it in")
    state = SessionFiles(enabled=not options.no_history)
    conversation = begin(options, screen, state)
    if interactive:
        return chat(options, conversation, screen, state)
    piped = piped_text(None if options.prompt is None else STDIN_TIMEOUT)
    prompt = "\n\n".join(text for text in (options.prompt, piped) if text and text.strip())
    if not prompt:
        parser.error("nothing to ask: give PROMPT, or pipe it in")
    # A program's questions are none to go on with, unless it says so.
    kept = state if sys.stdout.isatty() or options.go_on else None
    return turn(options, conversation, attach(prompt, options.attach), screen, kept)


def begin(options: Namespace, screen: Screen, state: SessionFiles) -> Transcript:
    """A new conversation, or with ``-c`` the last one; what else the command line sets comes first."""
    conversation = Transcript(options.model or DEFAULT, options.system)
    if options.go_on:
        try:
            conversation.load(state.last.read_bytes())
        except (OSError, AnswerFormError):
            screen.note("There is no last conversation; a new one begins.")
        conversation.model = options.model or conversation.model
        conversation.system = options.system or conversation.system
    return conversation


def main(argv: list[str] | None = None, prog: str = "client.py") -> int:
    """Run the command line and return its exit code. Usage errors end in argparse's ``SystemExit(2)``."""
    try:
        return run(argv, prog)
    except KeyboardInterrupt:  # from reading stdin: an answer takes Ctrl-C itself
        return INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has left, as in `client.py … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return FAILED
