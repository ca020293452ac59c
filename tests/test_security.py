"""Security: each promise S1 to S14 with the tests that hold it; those with no better place stand here."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from configparser import ConfigParser
from datetime import UTC, datetime
from functools import cache
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from tests.running import running
from tests.support import (
    DONE,
    HEAD,
    ask,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
)
from tests.websocket.talking import PATH
from trio_gateway.core.access import shown_key
from trio_gateway.core.config.keyfile import ClientKey
from trio_gateway.core.sse import SSEDecoder
from trio_gateway.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Client

ROOT = Path(__file__).parent.parent
HERE = "tests/test_security.py"

ROWS: dict[str, tuple[str, ...]] = {
    # Loopback by default; elsewhere a warning where no keys are set.
    "S1": (
        f"{HERE}::test_s1_it_listens_on_loopback_unless_it_is_told_and_then_warns",
        "tests/core/test_settings.py::test_an_address_that_others_reach_wants_keys",
        "tests/deploy/test_compose.py::test_services_can_be_reached_from_this_machine_alone",
    ),
    # Keys compared as digests in constant time, over all of them; kept as digests, each with an id; reloaded.
    "S2": (
        f"{HERE}::test_s2_every_digest_is_compared_whatever_was_shown",
        "tests/core/test_access.py::test_whose_key_it_is",
        "tests/test_keys.py::test_a_new_key_opens_what_it_was_made_for",
        "tests/test_access.py::test_a_good_key_comes_in_and_is_named_in_the_log",
        "tests/test_reload.py::test_a_key_that_is_taken_out_opens_nothing_any_more",
        "tests/test_reload.py::test_sighup",
    ),
    # One place lets in HTTP, WebSockets and metrics: each route is public or answers 401.
    "S3": (
        "tests/test_access.py::test_every_route_is_public_or_asks_for_a_key",
        "tests/test_access.py::test_a_wrong_key_is_told_so_and_nothing_else",
        "tests/test_access.py::test_a_socket_without_a_good_key_is_not_opened",
        "tests/test_access.py::test_metrics_are_for_keys_that_may_read_them",
    ),
    # What a client shows of itself goes no further; the headers that leave are listed.
    "S4": (
        f"{HERE}::test_s4_the_headers_that_leave_are_listed",
        "tests/faults/test_client_faults.py::test_what_proxies_say_of_a_client_goes_no_further",
        "tests/test_access.py::test_a_key_of_ours_stays_here_unless_it_is_to_be_passed_on",
        "tests/test_tracing.py::test_what_is_no_traceparent_begins_a_new_trace",
    ),
    # Keys, and words of prompts and answers, are nowhere to be found afterwards.
    "S5": (
        "tests/hostile/test_canary.py::test_s5_no_key_and_no_text_is_in_a_log_a_metric_a_trace_or_an_error",
        "tests/hostile/test_keys.py::test_no_key_leaves_the_gateway_in_an_error",
        "tests/hostile/test_keys.py::test_each_upstream_has_its_own_key_redacted",
        "tests/test_tracing.py::test_no_text_is_in_a_span",
    ),
    # Log lines hold no prompts, and no control characters.
    "S6": (
        "tests/hostile/test_canary.py::test_s5_no_key_and_no_text_is_in_a_log_a_metric_a_trace_or_an_error",
        "tests/server/test_logs.py::test_any_value_is_one_harmless_line_and_can_be_read_back",
        "tests/server/test_logs.py::test_a_value_cannot_be_taken_for_more_fields",
        "tests/server/test_logs.py::test_a_client_key_is_never_written",
    ),
    # The configuration alone says where requests go.
    "S7": (
        f"{HERE}::test_s7_a_redirect_is_not_followed",
        "tests/core/test_chat.py::test_no_field_redirects",
        "tests/core/test_chat.py::test_no_field_redirects_from_within_extra_body",
        "tests/core/test_chat.py::test_the_known_redirecting_fields_are_refused",
        "tests/engine/test_upstream.py::test_proxies_of_the_environment_are_not_trusted",
    ),
    # Pages of other origins, and foreign names on loopback.
    "S8": (
        f"{HERE}::test_s8_no_page_is_let_in_by_default_and_none_with_credentials",
        "tests/test_access.py::test_pages_of_a_listed_origin_may_ask_and_read",
        "tests/test_access.py::test_pages_of_other_origins_may_not",
        "tests/test_access.py::test_on_loopback_a_foreign_name_is_not_served",
        "tests/websocket/test_stream.py::test_pages_of_foreign_origin_are_kept_out",
    ),
    # Limits of size, number, depth, rate and time.
    "S9": (
        "tests/test_bad_input.py::test_bad_bodies",
        "tests/test_bad_input.py::test_a_body_that_is_too_large",
        "tests/core/test_chat.py::test_refused_fields_and_values",
        "tests/hostile/test_bodies_in_flight.py::test_where_there_is_no_room_it_is_a_503_that_says_when_to_come_back",
        "tests/test_access.py::test_requests_a_minute",
        "tests/test_access.py::test_tokens_a_minute_as_the_upstream_counts_them",
        "tests/test_access.py::test_requests_at_a_time",
        "tests/test_refused.py::test_each_is_counted_by_its_reason",
        "tests/faults/test_upstream_faults.py::test_a_stream_ends_honestly",
    ),
    # Only our own events leave.
    "S10": (
        f"{HERE}::test_s10_an_upstreams_events_and_ids_never_pass",
        "tests/faults/test_upstream_faults.py::test_an_oddity_is_borne",
        "tests/test_bad_input.py::test_a_prompt_that_looks_like_the_stream",
    ),
    # No client gets a piece of another one's answer.
    "S11": (
        f"{HERE}::test_s11_a_thousand_streams_at_once_hold_no_foreign_word",
        "tests/simulation/test_simulation.py::*",
    ),
    # Errors say nothing of the inside.
    "S12": (
        f"{HERE}::test_s12_errors_show_nothing_of_the_inside",
        "tests/server/test_hardening.py::test_of_hypercorns_settings_only_defaults_are_changed",
        "tests/test_newcomer.py::test_who_comes_with_a_key_is_not_shown_where_the_upstream_is",
        "tests/core/test_settings.py::test_what_may_be_a_key_in_the_place_of_a_url_is_not_shown",
    ),
    # Dependencies: free of what is known, pinned by hashes, listed in the image.
    "S13": (
        f"{HERE}::test_s13_dependencies_are_new_enough_and_pinned_by_hashes",
        f"{HERE}::test_s13_the_image_holds_a_bill_of_materials",
        "tests/test_audit.py::test_an_audit_says_what_it_has_seen",
    ),
    # The image: no root, nothing written, secrets from files.
    "S14": (
        f"{HERE}::test_s14_the_image_does_not_run_as_root",
        f"{HERE}::test_s14_nothing_is_written",
        "tests/core/test_settings.py::test_both_ways_of_a_variable_of_the_file",
        "tests/deploy/test_compose.py::test_with_keys_they_come_from_files_alone",
        "tests/deploy/test_kubernetes.py::test_the_container_has_no_more_than_it_needs",
    ),
}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests in the file at *path*."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize(("row", "named"), ROWS.items(), ids=ROWS)
def test_each_promise_has_tests_that_are_there(row: str, named: tuple[str, ...]) -> None:
    assert named, row
    for each in named:
        path, _, name = each.partition("::")
        assert names_in(path), each
        assert name == "*" or name in names_in(path), each


def test_all_promises_are_named() -> None:
    assert list(ROWS) == [f"S{number}" for number in range(1, 15)]


# S1, S2


@pytest.mark.parametrize(
    ("environ", "keys", "warns"),
    [({}, None, False), ({"HOST": "0.0.0.0"}, None, True), ({"HOST": "0.0.0.0"}, key_line("anna"), False)],
    ids=["default", "every address", "every address with keys"],
)
async def test_s1_it_listens_on_loopback_unless_it_is_told_and_then_warns(
    environ: dict[str, str], keys: str | None, warns: bool
) -> None:
    config = settings(keys=keys, **environ)
    assert config.config.server.host == environ.get("HOST", "127.0.0.1")
    with capture_logs() as log:
        async with open_gateway(config):
            pass
    warnings = [each["message"] for each in log if each["event"] == "configuration"]
    assert [("0.0.0.0" in each and "key" in each) for each in warnings] == [True] * warns


@pytest.mark.parametrize("shown", ["a", "c", "nobody", ""])
def test_s2_every_digest_is_compared_whatever_was_shown(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [ClientKey(id=name, sha256=hashlib.sha256(name.encode()).digest()) for name in "abc"]
    compared: list[bytes] = []

    def compare(kept: bytes, other: bytes) -> bool:
        compared.append(kept)
        return compare_digest(kept, other)

    monkeypatch.setattr(shown_key, "compare_digest", compare)
    shown_key.find_key(keys, shown, datetime.now(UTC))
    assert compared == [key.sha256 for key in keys]
    assert {len(digest) for digest in compared} == {32}


# S4, S7, S8

OUTBOUND = {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"}
OF_THE_CLIENT = {
    "Authorization": "Bearer foreign",
    "Cookie": "foreign=1",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Host": "foreign",
    "Forwarded": "for=foreign",
    "X-Request-Id": "foreign",
    "X-Api-Key": "foreign",
    "Proxy-Authorization": "Basic foreign",
    "OpenAI-Organization": "foreign",
    "Referer": "http://foreign/",
    "User-Agent": "foreign",
    "Accept-Language": "foreign",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "foreign=1",
    "baggage": "foreign=1",
    "Via": "1.1 foreign",
    "Range": "bytes=0-1",
}


@pytest.mark.parametrize(
    ("environ", "more"),
    [({}, set()), ({"UPSTREAM_API_KEY": "sk-ours-of-the-gateway"}, {"authorization"})],
    ids=["without a key", "with a key"],
)
async def test_s4_the_headers_that_leave_are_listed(environ: dict[str, str], more: set[str]) -> None:
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url, **environ)) as client,
    ):
        assert (await ask(client, chat(), **OF_THE_CLIENT)).output == "4"
    (headers,) = upstream.headers
    assert headers.keys() == OUTBOUND | more
    assert not re.search("foreign|6\\.6\\.6\\.6|0af7651916cd", json.dumps(headers))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_s7_a_redirect_is_not_followed(status: int) -> None:
    async with open_upstream(plays(text_answer("stolen"))) as other:
        there = f"HTTP/1.1 {status} There\r\nLocation: {other.url}/v1/chat/completions\r\n".encode()
        async with (
            open_upstream(plays(there + b"Connection: close\r\nContent-Length: 0\r\n\r\n")) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="sk-of-the-first")) as client,
        ):
            answer = await client.post(PATH, json=chat(stream=False))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert (len(upstream.requests), other.requests) == (1, [])
    assert other.url not in answer.text


@pytest.mark.parametrize(
    "listed", ["", 'cors_origins = ["https://chat.example"]'], ids=["none", "one listed"]
)
async def test_s8_no_page_is_let_in_by_default_and_none_with_credentials(listed: str) -> None:
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        open_gateway(settings(f"[server]\n{listed}\n", UPSTREAM_URL=upstream.url)) as client,
    ):
        for origin in ("https://evil.example", "https://chat.example", "null", "*"):
            for method, path in (
                ("POST", PATH),
                ("OPTIONS", PATH),
                ("GET", "/v1/models"),
                ("GET", "/health"),
            ):
                asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = await client.request(
                    method, path, json=chat() if method == "POST" else None, headers=asks
                )
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (origin if origin in listed and "chat" in origin else None)
                assert "access-control-allow-credentials" not in answer.headers


# S10, S11


@pytest.mark.parametrize("path", [PATH, "/openai" + PATH])
async def test_s10_an_upstreams_events_and_ids_never_pass(path: str) -> None:
    foreign = b"".join(
        b'event: %s\nid: foreign\nretry: 1\ndata: {"foreign": 1}\n\n' % name
        for name in (b"phase", b"foreign", b"message", b"done", b"open")
    )
    whole = HEAD + b": foreign\n\n" + foreign + sse_chunk({"content": "Four.", "foreign\n\nevent: x": 1})
    whole += (
        foreign
        + sse_chunk(finish="stop", id="foreign", system_fingerprint="s")
        + b"data: [DONE]\n\n"
        + foreign
    )
    async with (
        open_upstream(plays(whole)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await client.post(path, json=chat(stream=True))
    decoder = SSEDecoder()
    events = [*decoder.feed(answer.content), *decoder.finish()]
    assert {event.event for event in events} <= {"phase", "message", "error"}
    assert [event.data for event in events].count("[DONE]") == 1
    for line in answer.content.splitlines():
        assert line == b"" or line.startswith((b"data: ", b"event: ", b": ping")), line
    ids = {json.loads(event.data).get("id") for event in events if event.data.startswith('{"id"')}
    assert len(ids) == 1
    assert "foreign" not in ids


STREAMS = 1000
# How many are opened at a time: the gateway, its upstream and all clients share this one thread.
_OPENING = 50
_PIECES = 3


async def _echo(stream: trio.SocketStream, word: str, opened: trio.Event) -> None:
    """Send *word* again and again, in thoughts and in the answer, a piece at a time, once all are *opened*."""
    await stream.send_all(HEAD + sse_chunk({"content": f"<think>The thought is {word}, which is enough.\n"}))
    await opened.wait()
    for _ in range(_PIECES):
        await stream.send_all(sse_chunk({"content": f"Still {word}. "}))
        await trio.lowlevel.checkpoint()
    await stream.send_all(sse_chunk({"content": "</think>"}))
    for _ in range(_PIECES):
        await stream.send_all(sse_chunk({"content": f"{word} "}))
        await trio.lowlevel.checkpoint()
    await stream.send_all(sse_chunk(finish="stop") + DONE)


async def test_s11_a_thousand_streams_at_once_hold_no_foreign_word() -> None:
    opened, places = trio.Event(), trio.CapacityLimiter(_OPENING)
    answers: dict[str, bytes] = {}

    async def script(stream: trio.SocketStream, number: int) -> None:
        if number + 1 == STREAMS:
            opened.set()
        await _echo(stream, upstream.requests[number]["messages"][0]["content"], opened)

    async def one(client: Client, word: str) -> None:
        body = json.dumps(chat(word)).encode()
        fields = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        head = f"POST {PATH} HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n"
        async with places:
            stream = await trio.open_tcp_stream("127.0.0.1", client.base_url.port or 0)
            await stream.send_all(head.encode() + body)
            answer = b""
            while b"[Prompt Summary]" not in answer:
                answer += await stream.receive_some()
        async with stream:
            answers[word] = answer + b"".join([data async for data in stream])

    words = [f"nonce{number:05}x" for number in range(STREAMS)]
    with capture_logs():
        async with (
            open_upstream(script) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        ):
            with trio.fail_after(150):
                async with trio.open_nursery() as nursery:
                    for word in words:
                        nursery.start_soon(one, client, word)
    assert len(answers) == STREAMS
    for word, answer in answers.items():
        found = re.findall(rb"nonce\d{5}x", answer)
        assert set(found) == {word.encode()}, word
        assert len(found) >= _PIECES + 1
        assert b"data: [DONE]" in answer


# S12

INSIDE = re.compile(
    rf"Traceback|\.py\b|/site-packages|{re.escape(__version__)}|hypercorn|quart|127\.0\.0\.1:\d+", re.I
)


async def test_s12_errors_show_nothing_of_the_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake in /site-packages/x.py")

    with capture_logs():
        async with (
            open_upstream(
                plays(b"HTTP/1.1 500 X\r\nServer: foreign\r\nContent-Length: 0\r\n\r\n")
            ) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url, keys=key_line("anna"))) as client,
        ):
            anna = bearer("anna")
            answers = [
                await client.get("/nowhere", headers=anna),
                await client.delete(PATH, headers=anna),
                await client.post(PATH, json=chat()),
                await client.post(PATH, json=chat(n=99), headers=anna),
                await client.post(PATH, content=b"{", headers={**anna, "Content-Type": "application/json"}),
                await client.post(PATH, json=chat(stream=False), headers=anna),
                await client.post(PATH, json=chat(), headers=anna),
            ]
            monkeypatch.setattr(client.app.gateway.bodies, "read", broken)
            answers.append(await client.post(PATH, json=chat(), headers=anna))
    assert [each.status_code for each in answers] == [404, 405, 401, 400, 400, 502, 200, 500]
    for answer in answers:
        assert '"error": {' in answer.text
        assert INSIDE.search(answer.text) is None, answer.text
        assert "server" not in answer.headers
        assert not INSIDE.search(str(answer.headers.multi_items()))


# S13, S14


def _pinned(lock: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and the rest of each entry of a lock."""
    text = (ROOT / ".ci" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            name, _, rest = line.partition("==")
            version, _, more = rest.partition(" ")
            yield name.partition("[")[0].strip(), version, more


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / ".ci").glob("*.lock")))
def test_s13_dependencies_are_new_enough_and_pinned_by_hashes(lock: str) -> None:
    entries = list(_pinned(lock))
    assert len(entries) > 10
    for name, version, more in entries:
        assert re.match(r"\d", version), name
        assert "--hash=sha256:" in more, name
    versions = {
        name: tuple(map(int, version.split(".")[:2])) for name, version, _ in entries if name in FLOORS
    }
    assert all(versions[name] >= FLOORS[name] for name in versions)
    if "sbom" not in lock:
        assert versions.keys() == FLOORS.keys()
        config = ConfigParser()
        config.read(ROOT / "setup.cfg")
        assert "h11>=0.16" in config["options"]["install_requires"]


FLOORS = {"h11": (0, 16), "h2": (4, 3)}  # before them: CVE-2025-43859, CVE-2025-57804
IMAGE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_s13_the_image_holds_a_bill_of_materials() -> None:
    assert "--require-hashes -r requirements.lock" in IMAGE
    assert "COPY --from=build /sbom.cdx.json /usr/share/sbom/" in IMAGE


def test_s14_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", IMAGE, re.MULTILINE)
    assert [user for user in users if not re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)] == []
    last_stage = IMAGE[IMAGE.rindex("\nFROM ") :]
    assert last_stage.index("\nUSER ") < last_stage.index("\nCMD ")


# A process that says which files it opens to write, and then serves as usual.
WATCHED = """
import os, sys
def watch(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not str(args[0]).startswith("/dev/") and not isinstance(args[0], int):
            os.write(2, f"wrote {args[0]}\\n".encode())
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "os.truncate", "shutil.copyfile"):
        os.write(2, f"wrote {args}\\n".encode())
sys.addaudithook(watch)
open(os.environ["CONTROL"], "w").close()
from trio_gateway.__main__ import main
sys.exit(main(["serve"]))
"""


async def test_s14_nothing_is_written(tmp_path: Path) -> None:
    control = str(tmp_path / "control")
    async with (
        open_upstream(plays(text_answer("4"))) as upstream,
        running(
            [sys.executable, "-B", "-c", WATCHED],
            UPSTREAM_URL=upstream.url,
            LOG_FORMAT="json",
            CONTROL=control,
        ) as gateway,
    ):
        done = await trio.to_thread.run_sync(_asked, gateway.url)
        assert done == [200, 200, 200]
        assert await gateway.stop() == 0
    assert [line for line in gateway.log if line.startswith("wrote")] == [f"wrote {control}"]


def _asked(url: str) -> list[int]:
    """What a chat, the page and a rendered text are answered with."""
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        return [
            client.post(PATH, json=chat()).status_code,
            client.get("/").status_code,
            client.post("/render", json={"text": "*a*"}).status_code,
        ]
