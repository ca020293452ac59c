"""The floors of the house: imports go down only, and the core is pure. Beside them, the terminal client."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "trio_gateway"
FLOORS = {
    "core": {"core"},
    "engine": {"core", "engine"},
    "server": {"core", "engine", "server"},
    "mock": {"mock"},  # a model server: it shares nothing with what it tests
    "terminal": {"core", "terminal"},  # no floor of the gateway: it stands on the same ground
}
SERVING = {"quart", "quart_trio", "hypercorn", "structlog", "prometheus_client"}
# What would bring waiting, a clock, chance, sockets, files or the environment into the core. (PurePath is text.)
IMPURE = {"trio", "httpx", "quart", "quart_trio", "hypercorn", "structlog", "prometheus_client", "asyncio"}
IMPURE |= {"time", "random", "secrets", "socket", "os", "subprocess", "logging", "threading", "sys"}

MODULES = sorted(ROOT.glob("*/*.py")) + sorted(ROOT.glob("*/*/*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that *path* imports, by its whole name."""
    package = ["trio_gateway", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, level=0):
                yield module or ""
            case ast.ImportFrom(module=module, level=level, names=names):
                base = package[: len(package) - level + 1]
                if module:
                    yield ".".join([*base, module])
                else:
                    yield from (".".join([*base, name.name]) for name in names)


def test_there_is_something_to_check() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    allowed = FLOORS[path.relative_to(ROOT).parts[0]] | {"version"}
    inside = [name.split(".")[1] for name in imports(path) if name.startswith("trio_gateway.")]
    assert set(inside) <= allowed


@pytest.mark.parametrize("path", sorted(ROOT.glob("core/**/*.py")), ids=lambda path: path.stem)
def test_the_core_is_pure(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports(path) if name != "os.path"}
    assert not outside & IMPURE
    waits = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
    ]
    assert not waits


def test_only_the_upstream_and_its_transport_know_httpx() -> None:
    gateway = [path for path in MODULES if path.relative_to(ROOT).parts[0] != "terminal"]
    assert {str(path.relative_to(ROOT)) for path in gateway if "httpx" in set(imports(path))} == {
        "engine/transport/proxied.py",
        "engine/transport/failures.py",
        "engine/transport/httpx_transport.py",
    }


@pytest.mark.parametrize("path", sorted(ROOT.glob("terminal/*.py")), ids=lambda path: path.stem)
def test_the_terminal_client_needs_nothing_that_serves(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & SERVING
