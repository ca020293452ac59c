"""Floors: imports go down only, between the packages and inside the core, and the core is pure."""

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
CORE = (  # from the bottom; a part imports its own modules and those of the rows below
    {"text", "budgets"},
    {"json", "sse", "phases"},
    {"errors"},
    {"events"},
    {"client_api", "phase_queue"},
    {"config"},
    {"sharing"},
    {"access", "breaker", "reasoning", "summary"},
    {"upstream_api"},
)
SERVING = {"quart", "quart_trio", "hypercorn", "structlog", "prometheus_client"}
# What would bring waiting, a clock, chance, sockets, files or the environment into the core. (PurePath is text.)
IMPURE = {"trio", "httpx", "quart", "quart_trio", "hypercorn", "structlog", "prometheus_client", "asyncio"}
IMPURE |= {"time", "random", "secrets", "socket", "os", "subprocess", "logging", "threading", "sys"}

ALL = sorted(ROOT.rglob("*.py"))
MODULES = [path for path in ALL if path.parent != ROOT]
TOP = {  # command lines and the package itself: what each may import
    "__init__": {"core", "server", "lazy"},
    "__main__": {"core", "server", "terminal", "mock", "demo", "keys", "lazy"},
    "demo": {"mock", "terminal", "server"},
    "keys": {"core"},
    "lazy": {"server"},
    "version": set(),
}


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


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.stem)
def test_command_lines_import_what_they_need(path: Path) -> None:
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("trio_gateway.")}
    assert inside <= TOP[path.stem] | {"version"}


def part_of_core(name: str) -> str | None:
    """The part of the core that the module *name* belongs to; None: it is outside, or the core itself."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["trio_gateway", "core"] and len(parts) > 2 else None


def test_every_part_of_the_core_has_its_place() -> None:
    parts = {
        path.relative_to(ROOT / "core").parts[0].removesuffix(".py") for path in ROOT.glob("core/**/*.py")
    }
    assert parts - {"__init__"} == set().union(*CORE)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("core/*/**/*.py")) + sorted(ROOT.glob("core/[a-z]*.py")), ids=str
)
def test_imports_go_down_inside_the_core(path: Path) -> None:
    rank = {part: number for number, parts in enumerate(CORE) for part in parts}
    own = path.relative_to(ROOT / "core").parts[0].removesuffix(".py")
    others = {part_of_core(name) for name in imports(path)} - {None, own}
    assert {part for part in others if part and rank[part] >= rank[own]} == set()


def module_name(path: Path) -> str:
    """The name under which *path* is imported."""
    return ".".join(["trio_gateway", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


def test_no_two_modules_import_each_other() -> None:
    names = {module_name(path) for path in ALL}
    arrows = {module_name(path): {name for name in imports(path) if name in names} for path in ALL}
    while leaves := {name for name, targets in arrows.items() if not targets & arrows.keys() - {name}}:
        for name in leaves:
            del arrows[name]
    assert arrows == {}


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
