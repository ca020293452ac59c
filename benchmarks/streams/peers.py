"""Peers: other gateways that the same load is put on, where they are installed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.streams.servers import Launch, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FOLDER_VARIABLE", "PEERS", "Peer", "executable", "launch", "version"]

FOLDER_VARIABLE: Final = "BENCH_PEERS"
"""Environment variable that names a folder with peers' executables; it goes before PATH."""

_NGINX: Final = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr error;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    keepalive_requests 1000000;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
_LITELLM: Final = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false}}
"""
_ROUTER: Final = (
    *("--host", "127.0.0.1", "--port", "{port}", "--worker-urls", "http://127.0.0.1:{upstream}"),
    *("--policy", "round_robin", "--log-level", "error", "--prometheus-port", "{metrics}"),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Gateway to compare with, and how it is started.

    ``{words}`` in its command and its file are filled in then.
    """

    name: str
    command: tuple[str, ...]
    """The executable's name, and its arguments."""
    version: tuple[str, ...]
    """Arguments that make it print its version."""
    install: str
    file: str = ""
    """Text of its configuration, of which ``{file}`` is the path."""
    environ: Mapping[str, str] | None = None
    header: str = ""


PEERS: Final = (
    Peer("nginx", ("nginx", "-c", "{file}"), ("-v",), "apt install nginx", file=_NGINX),
    Peer("smg", ("smg", "launch", *_ROUTER), (), "pip install smg"),
    Peer("vllm-router", ("vllm-router", *_ROUTER), (), "pip install vllm-router"),
    Peer(
        "litellm",
        ("litellm", "--config", "{file}", "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1"),
        ("--version",),
        "pip install 'litellm[proxy]'",
        file=_LITELLM,
        environ={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        header="Authorization: Bearer {key}",
    ),
)


def executable(peer: Peer) -> str | None:
    """The path of the peer's executable, in the folder of ``BENCH_PEERS`` or on PATH; None: not installed."""
    folders = (os.environ.get(FOLDER_VARIABLE, ""), os.environ.get("PATH", ""), "/usr/sbin")
    return shutil.which(peer.command[0], path=os.pathsep.join(filter(None, folders)))


def launch(peer: Peer, upstream: int, folder: Path) -> Launch:
    """How the installed *peer* is started in front of the upstream; its configuration goes into *folder*."""
    path = executable(peer)
    assert path is not None, f"{peer.name} is not installed"
    words = {
        "port": str(free_port()),
        "metrics": str(free_port()),
        "upstream": str(upstream),
        "folder": str(folder),
        "file": str(folder / f"{peer.name}.conf"),
        "key": f"sk-{secrets.token_hex(24)}",
        "user": "user root;" if os.geteuid() == 0 else "",
    }
    if peer.file:
        (folder / f"{peer.name}.conf").write_text(peer.file.format(**words), encoding="utf-8")
    command = [path, *(word.format(**words) for word in peer.command[1:])]
    headers = [peer.header.format(**words)] if peer.header else []
    return Launch(peer.name, command, int(words["port"]), headers, {**os.environ, **(peer.environ or {})})


def version(peer: Peer) -> str:
    """The peer's version; for one that cannot print it, that of the package in whose environment it lies."""
    path = executable(peer)
    assert path is not None, f"{peer.name} is not installed"
    if peer.version:
        command = [path, *peer.version]
    else:
        python = shutil.which("python3", path=os.path.dirname(path)) or "python3"
        code = f"from importlib.metadata import version; print(version({peer.name!r}))"
        command = [python, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word for word in words if word[0].isdigit()), "?")
