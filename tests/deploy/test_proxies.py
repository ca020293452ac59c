"""Proxies in front of the gateway: their files are checked, and streams and WebSockets go through them unheld."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
import trio
import trio_websocket

from tests.deploy.programs import DEPLOY, check, needs
from tests.faults.certificates import make_certificates
from tests.support import (
    DONE,
    HEAD,
    Answer,
    chat,
    open_gateway,
    open_mock,
    open_upstream,
    settings,
    sse_chunk,
)
from tests.websocket.talking import PATH, as_sse
from trio_gateway.mock import Options
from trio_gateway.server.listening import KEEP_ALIVE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NAME = "gateway.example.com"
NGINX = (DEPLOY / "nginx" / "gateway.conf").read_text(encoding="utf-8")
CADDY = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
ENVOY = (DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8")

proxies = pytest.mark.parametrize(
    "proxy",
    [pytest.param(name, marks=[pytest.mark.system, needs(name)]) for name in ("nginx", "caddy")],
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def nginx(folder: Path, gateway: int, port: int) -> list[str]:
    """The command of an nginx that includes the file as it stands, but for its addresses and its certificate."""
    make_certificates(folder)
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{gateway}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/gateway.example.com.pem": f"{folder}/valid.pem",
        "/etc/ssl/private/gateway.example.com.key": f"{folder}/valid.key",
    }
    (folder / "gateway.conf").write_text(changed(NGINX, changes))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {folder}/gateway.conf;\n}}\n"
    )
    return ["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", "stderr"]


def caddy(folder: Path, gateway: int, port: int) -> list[str]:
    """The command of a Caddy with the file as it stands, but for its addresses, and with a certificate of its own."""
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{gateway}",
        f"\n{NAME} {{": f"\nhttps://{NAME}:{port} {{\n\ttls internal",
    }
    options = [
        "admin off",
        "skip_install_trust",
        "auto_https disable_redirects",
        f"storage file_system {folder}",
    ]
    head = "".join(f"\t{option}\n" for option in options)
    (folder / "Caddyfile").write_text(f"{{\n{head}}}\n{changed(CADDY, changes)}")
    return ["caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]


def changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


COMMANDS: dict[str, Callable[[Path, int, int], list[str]]] = {"nginx": nginx, "caddy": caddy}


class Front(NamedTuple):
    """A proxy that serves; its certificate is of nobody known."""

    client: httpx.AsyncClient
    port: int


def stranger() -> httpx.AsyncClient:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return httpx.AsyncClient(verify=context, trust_env=False, timeout=10)


@asynccontextmanager
async def behind(proxy: str, folder: Path, upstream: str) -> AsyncIterator[Front]:
    """The gateway behind *proxy*, which is reached by the name in its file."""
    config = settings(UPSTREAM_URL=upstream, ALLOWED_HOSTS=NAME)
    async with open_gateway(config) as gateway:
        port = free_port()
        command = COMMANDS[proxy](folder, gateway.base_url.port or 0, port)
        process = await trio.lowlevel.open_process(command, stderr=subprocess.DEVNULL)
        try:
            async with stranger() as client:
                client.base_url = httpx.URL(f"https://127.0.0.1:{port}")
                client.headers["Host"] = f"{NAME}:{port}"
                await serving(client)
                yield Front(client, port)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def serving(client: httpx.AsyncClient) -> None:
    with trio.fail_after(20):
        while True:
            try:
                await get(client, "/health/live")
            except httpx.TransportError:
                await trio.sleep(0.02)  # a program of somebody else's: nothing tells when it listens
            else:
                return


async def get(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """The path as it stands: neither a doubled slash nor a dot is put right."""
    url = client.base_url.copy_with(raw_path=path.encode())
    return await client.get(url, extensions={"sni_hostname": NAME})


@pytest.mark.system
@needs("nginx")
def test_nginx_takes_its_file(tmp_path: Path) -> None:
    check(*nginx(tmp_path, 8080, free_port()), "-t")


@pytest.mark.system
@needs("caddy")
def test_caddy_takes_its_file(tmp_path: Path) -> None:
    file = DEPLOY / "caddy" / "Caddyfile"
    check(
        *("caddy", "validate", "--config", file, "--adapter", "caddyfile"),
        HOME=str(tmp_path),
        XDG_DATA_HOME=str(tmp_path),
    )


@proxies
async def test_each_event_comes_through_before_the_next_one_is_sent(proxy: str, tmp_path: Path) -> None:
    """The model goes on only when the client has seen what it wrote: a proxy that holds anything back would hang it."""
    seen = [trio.Event() for _ in range(5)]

    async def script(stream: trio.SocketStream, _: int) -> None:
        await stream.send_all(HEAD)
        for number, event in enumerate(seen):
            await stream.send_all(sse_chunk({"content": f"piece-{number}. "}))
            await event.wait()
        await stream.send_all(sse_chunk(finish="stop") + DONE)

    async with open_upstream(script) as upstream, behind(proxy, tmp_path, upstream.url) as front:
        text = ""
        with trio.fail_after(10):
            async with front.client.stream(
                "POST", PATH, json=chat(), extensions={"sni_hostname": NAME}
            ) as response:
                assert response.status_code == 200
                async for piece in response.aiter_text():
                    text += piece
                    for number, event in enumerate(seen):
                        if f"piece-{number}." in text:
                            event.set()
        assert text.endswith("data: [DONE]\n\n")


@proxies
async def test_a_client_that_leaves_is_seen_by_the_upstream(proxy: str, tmp_path: Path) -> None:
    left = trio.Event()

    async def script(stream: trio.SocketStream, _: int) -> None:
        await stream.send_all(HEAD + sse_chunk({"content": "Four"}))
        assert await stream.receive_some(1) == b""
        left.set()

    async with open_upstream(script) as upstream, behind(proxy, tmp_path, upstream.url) as front:
        extensions = {"sni_hostname": NAME}
        async with front.client.stream("POST", PATH, json=chat(), extensions=extensions) as response:
            async for piece in response.aiter_bytes():
                if b"Four" in piece:
                    break
        with trio.fail_after(5):
            await left.wait()


@proxies
async def test_a_websocket_goes_through(proxy: str, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with open_mock(Options(port=0, tokens_per_second=0)) as url, behind(proxy, tmp_path, url) as front:
        stream = trio.SSLStream(
            await trio.open_tcp_stream("127.0.0.1", front.port),
            context,
            server_hostname=NAME,
            https_compatible=True,
        )
        await stream.do_handshake()
        async with trio.open_nursery() as nursery:
            origin = [(b"Origin", f"https://{NAME}:{front.port}".encode())]
            socket = await trio_websocket.wrap_client_stream(
                nursery, stream, f"{NAME}:{front.port}", PATH, extra_headers=origin
            )
            for prompt in ("What is 2+2?", "And again: what is 2+2?"):
                frames: list[str] = []
                await socket.send_message(json.dumps(chat(prompt)))
                with trio.fail_after(10):
                    while not frames or "[DONE]" not in frames[-1]:
                        frames.append(str(await socket.get_message()))
                assert Answer(httpx.Response(200, content=as_sse(frames))).done == 1
            await socket.aclose()
            nursery.cancel_scope.cancel()


@proxies
async def test_metrics_do_not_leave_the_inside(proxy: str, tmp_path: Path) -> None:
    async with open_mock() as url, behind(proxy, tmp_path, url) as front:
        for path in (
            "/metrics",
            "/metrics/",
            "//metrics",
            "/%6detrics",
            "//metrics//",
            "/./metrics",
            "/metrics?x=1",
            "/x/../metrics",
            "/metrics%2f",
            "/%2fmetrics",
        ):
            response = await get(front.client, path)
            assert response.status_code == 404, path
            assert "gateway_" not in response.text
        assert (await get(front.client, "/health")).status_code == 200


def test_idle_times_are_above_the_longest_silence_and_below_the_gateways_own() -> None:
    server = settings().config.server
    longest = re.findall(r"proxy_read_timeout (\d+)s|response_header_timeout (\d+)s", NGINX + CADDY)
    longest += re.findall(r"(?m)^ +(?:stream_)?idle_timeout: (\d+)(s)", ENVOY)
    assert len(longest) == 4
    assert all(float(a or b) > server.request_timeout > server.heartbeat for a, b in longest)
    kept = re.findall(r"keepalive(?:_timeout)? (\d+)s|\{idle_timeout: (\d+)s\}", NGINX + CADDY + ENVOY)
    assert len(kept) == 3
    assert all(0 < float(a or b) < KEEP_ALIVE for a, b in kept)
    assert f"{server.max_body // 2**20}m;" in NGINX
    assert f"max_size {server.max_body // 2**20}MiB" in CADDY


def test_what_was_never_run_says_so_at_its_head() -> None:
    assert ENVOY.startswith("# UNTESTED")
