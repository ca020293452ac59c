"""Compose files: their commands run with their environment, as processes where there is no engine."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import httpx

from tests.deploy.programs import DEPLOY, ROOT, documents
from tests.running import running
from tests.support import Answer, bearer, chat, key_line, settings
from tests.websocket.talking import PATH
from trio_gateway.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

SERVICES: dict[str, Any] = documents(DEPLOY / "compose.yaml")[0]["services"]
(KEYS,) = documents(DEPLOY / "compose.keys.yaml")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MARK = "deploy/test-CANARY-key"


def command(service: str) -> list[str]:
    program, *options = SERVICES[service]["command"]
    assert program == "python"  # that of the image
    return [sys.executable, *options]


def environment(service: str, **changes: str) -> dict[str, str]:
    """The image's and the service's variables, on loopback and a free port."""
    ((line,),) = [re.findall(r"^ENV (PATH=.*)$", DOCKERFILE, re.MULTILINE)]
    image = dict(each.split("=", 1) for each in line.split()[1:])
    own = {
        name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value)
        for name, value in SERVICES[service]["environment"].items()
    }
    assert own["HOST"] == "0.0.0.0"
    return {**image, **own, "HOST": "127.0.0.1", "PORT": "0", "MOCK_PORT": "0", **changes}


async def test_gateway_and_mock_answer_as_they_are_composed() -> None:
    reaches = environment("gateway")["UPSTREAM_URL"]
    assert reaches == f"http://mock:{SERVICES['mock']['environment']['MOCK_PORT']}"
    # The mock writes to stdout where it listens; here it has to come by the pipe that is read.
    as_stderr = ["sh", "-c", 'exec "$@" >&2', "sh", *command("mock")]
    async with (
        running(as_stderr, **environment("mock")) as mock,
        running(command("gateway"), **environment("gateway", UPSTREAM_URL=mock.url)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client,
    ):
        answer = Answer(await client.post(PATH, json=chat()))
        assert answer.output == "The answer is 4."
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/metrics")).text.count('outcome="ok"} 1.0') == 1
        assert await gateway.stop() == 0


async def test_with_keys_they_come_from_files_alone(tmp_path: Path) -> None:
    wanted: dict[str, str] = KEYS["services"]["gateway"]["environment"]
    mounted = {f"/run/secrets/{name}" for name in KEYS["services"]["gateway"]["secrets"]}
    assert set(wanted.values()) == mounted
    assert set(KEYS["secrets"]) == {path.rpartition("/")[2] for path in mounted} | {"metrics_key"}
    (tmp_path / "upstream_api_key").write_text(MARK + "\n")
    (tmp_path / "keys.txt").write_text(key_line("alice") + key_line("prometheus", "metrics"))
    files = {name: path.replace("/run/secrets", str(tmp_path)) for name, path in wanted.items()}
    async with (
        running(
            command("gateway"), **environment("gateway", UPSTREAM_URL="http://127.0.0.1:1", **files)
        ) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client,
    ):
        assert (await client.post(PATH, json=chat())).status_code == 401
        assert (await client.get("/metrics", headers=bearer("alice"))).status_code in {401, 403}
        assert (await client.get("/metrics", headers=bearer("prometheus"))).status_code == 200
        answer = await client.post(PATH, json=chat(), headers=bearer("alice"))
        assert answer.status_code == 200
        assert MARK not in answer.text
    assert MARK not in "".join(gateway.log)


def test_services_can_be_reached_from_this_machine_alone() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists()


def test_the_image_says_what_it_is() -> None:
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE
    assert "\nUSER 10001:10001\n" in DOCKERFILE
    assert "/health/live" in DOCKERFILE
    assert environment("gateway")["LOG_FORMAT"] == "json"
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for name in (each for line in copied for each in line.split()):
        assert (ROOT / name).exists()
        assert f"!{name}\n" in ignored
    for lock in re.findall(r"-r (\S+\.lock)", DOCKERFILE):
        pinned = re.findall(
            r"^\S.*==[^\\]*\\\n +--hash=sha256:", (ROOT / ".ci" / lock).read_text(), re.MULTILINE
        )
        assert pinned
    assert DOCKERFILE.count("--require-hashes -r") == 2


def test_the_stop_of_a_container_waits_for_running_answers() -> None:
    assert (
        float(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
        > settings().config.server.graceful_timeout
    )
