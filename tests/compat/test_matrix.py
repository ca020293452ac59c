"""Each row of the matrix in the README: a client, unchanged, against the running gateway and the mock."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import hypercorn.trio
import pytest
import trio
from hypercorn.config import Config
from quart import request as quart_request

pytest.importorskip("openai", reason="the extra `compat` is not installed")

from tests.compat.drivers import PROMPT, TOOL_RESULT, Seen
from tests.compat.matrix import HERE, ROOT, ROWS, Matrix, Row, ask_sdk, cells, run_driver
from tests.compat.sdks import Drive, drive_python, drive_python_async, node_driver
from tests.support import FAST, Json, open_gateway, settings, upstream_toml
from trio_gateway.mock import MockMessage, MockRequest, compose, create_mock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio_gateway.mock import Reply

pytestmark = pytest.mark.compat

NO_BREAKER = "[upstreams.a.breaker]\nconsecutive = 0\n"  # several answers in a row break off


@asynccontextmanager
async def open_recording_mock() -> AsyncIterator[tuple[str, list[Json]]]:
    """Serve the mock; gives its URL and the bodies it was sent."""
    app, bodies, hyper = create_mock(FAST), list[Json](), Config()
    hyper.bind = ["127.0.0.1:0"]
    hyper.errorlog = None

    @app.before_request
    async def record() -> None:
        if quart_request.method == "POST":
            bodies.append(await quart_request.get_json())

    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(hypercorn.trio.serve, app, hyper))
        yield url, bodies
        nursery.cancel_scope.cancel()


def reply() -> Reply:
    """What the mock answers."""
    return compose(MockRequest([MockMessage("user", PROMPT)]), FAST, 0)


def cut_models() -> list[str]:
    """Model ids of the mock's that break off: while it thinks, and in the middle of its answer."""
    return ["fault-cut-40", f"fault-cut-{reply().reasoning_tokens + 2}"]


async def seen_by(row: Row, url: str, fixtures: pytest.FixtureRequest, home: Path) -> Seen:
    """What the client of that row showed; what it keeps, it keeps in *home*."""
    if row.kind == "sdk" and row.driver != "node":
        drive: Drive = drive_python if row.driver == "python" else drive_python_async
        return await ask_sdk(drive, version("openai"), url, cut_models())
    folder = ROOT if row.kind == "module" else fixtures.getfixturevalue("node_clients")
    if row.kind == "sdk":
        lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
        told = lock["packages"]["node_modules/openai"]["version"]
        return await ask_sdk(node_driver(folder), told, url, cut_models())
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return await run_driver(row, url, cut_models(), folder=folder, environ=environ)


@pytest.mark.parametrize("client", ROWS)
async def test_a_client_shows_what_the_matrix_says(
    client: str, matrix: Matrix, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if client.startswith("curl") and not shutil.which("curl"):
        pytest.skip("needs curl")
    async with (
        open_recording_mock() as (upstream, bodies),
        open_gateway(settings(upstream_toml(upstream, upstream=NO_BREAKER))) as gateway,
    ):
        with trio.fail_after(60):
            seen = await seen_by(ROWS[client], str(gateway.base_url).rstrip("/"), request, tmp_path)
    assert seen.text.strip() == "The answer is 4."
    assert seen.tools.strip() == f"According to the tool: {TOOL_RESULT}"
    for how, message in seen.errors:
        assert how
        assert "before it was complete" in message
    assert seen.usage in ([], [3, len(reply().deltas)])
    if seen.reasoning:
        assert seen.reasoning.startswith(f'[Prompt Summary] Processing: "{PROMPT}"...')
        assert "\n\n[Reasoning Summary] " in seen.reasoning
    # Nothing of what the gateway said of its own came back to the model, however the client keeps it.
    assert "Summary]" not in json.dumps(bodies)
    assert [body["messages"][-1]["role"] for body in bodies].count("tool") == 1
    matrix.take(client, seen.version, cells(seen))


def test_the_matrix_has_every_client(matrix: Matrix) -> None:
    assert list(matrix.lines) == list(ROWS)
