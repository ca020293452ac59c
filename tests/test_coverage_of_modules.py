"""Test files: each product module has one that names it, and what several test files need is no test file."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGE = ROOT / "trio_gateway"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
TEST_FILES = sorted(TESTS.rglob("test_*.py"))

BY_WHAT_IT_DOES = {
    "core.breaker.judge": "core/test_breaker.py",
    "core.config.cross_checks": "core/test_config.py",
    "core.config.mistake_wording": "core/test_config.py",
    "core.config.tables": "core/test_config.py",
    "core.config.instructions": "core/test_summary_request.py",
    "core.reasoning.markers": "core/test_reasoning.py",
    "core.summary.qualifiers": "core/test_clauses.py",
    "core.upstream_api.http_framing.abnf": "core/test_http_response_head.py",
    "core.upstream_api.inband_errors": "core/test_chunks.py",
    "engine.attempt": "engine/test_stream.py",
    "engine.attempt_clock": "engine/test_stream.py",
    "engine.delivery": "engine/test_stream.py",
    "engine.hedge": "engine/test_failover.py",
    "engine.question": "test_asking.py",
    "engine.transport.proxied": "engine/transport/test_httpx_transport.py",
    "engine.transport.response": "engine/transport/test_client.py",
    "engine.transport.round_trip": "engine/transport/test_client.py",
    "engine.transport.syscalls": "engine/transport/test_client.py",
    "engine.transport.tcp": "engine/transport/test_connect.py",
    "lazy": "test_process.py",
    "mock.script": "test_mock_llm.py",
    "server.chat_http": "test_stream.py",
    "server.error_responses": "test_bad_input.py",
    "server.media_type": "test_bad_input.py",
    "server.process": "test_process.py",
    "server.rendering.endpoint": "server/test_rendering.py",
    "server.rendering.worker": "server/test_rendering.py",
    "server.serve": "test_process.py",
    "server.shared_store": "test_shared_state.py",
    "server.sse_body": "test_disconnect.py",
    "server.transport.http1": "server/test_connection.py",
    "server.websocket.session": "websocket/test_stream.py",
    "server.workers.worker_process": "workers/test_processes.py",
    "terminal.command_line": "client/test_prompt.py",
    "terminal.editing": "client/test_on_terminal.py",
    "terminal.models": "client/test_commands.py",
    "terminal.plain": "client/test_answer.py",
    "terminal.reading": "client/test_prompt.py",
    "terminal.status": "client/test_on_terminal.py",
}
"""Modules that are tested by what they do over a socket, on a terminal or through the one module that uses them."""


def short(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that *path* names: itself, or by a name that its package gives out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield module
                for name in names:
                    yield f"{module}.{name.name}"
                    yield given_out(module).get(name.name, module)


@lru_cache(maxsize=256)
def given_out(package: str) -> dict[str, str]:
    """The names that *package* gives out, and their modules."""
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    if not package.startswith("trio_gateway") or not path.exists():
        return {}
    return {
        name.asname or name.name: f"{package}.{node.module}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        for name in node.names
    }


@lru_cache(maxsize=1)
def named() -> frozenset[str]:
    """What some test file imports."""
    return frozenset(name for path in TEST_FILES for name in imported(path))


def has_test_file(module: Path) -> bool:
    """Whether a test file imports *module*, or has its name in the tests of its floor."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    floor = TESTS if len(parts) == 1 else TESTS / parts[0]
    stems = {f"test_{parts[-1]}", "_".join(("test", *parts[-2:]))}
    mirrors = (path.stem in stems for path in floor.glob("*.py" if floor == TESTS else "**/*.py"))
    return f"trio_gateway.{short(module)}" in named() or any(mirrors)


@pytest.mark.parametrize("module", MODULES, ids=short)
def test_every_module_has_a_test_file(module: Path) -> None:
    elsewhere = BY_WHAT_IT_DOES.get(short(module))
    assert has_test_file(module) != (elsewhere is not None), "exactly one of both"
    assert elsewhere is None or (TESTS / elsewhere).exists()


def test_no_module_is_listed_that_is_none() -> None:
    assert set(BY_WHAT_IT_DOES) <= set(map(short, MODULES))


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_file_imports_a_test_file(path: Path) -> None:
    """What several of them need stands in a module of helpers."""
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in TEST_FILES}
    assert files.isdisjoint(imported(path))
