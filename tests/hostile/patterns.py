"""Every regular expression of the package, found by walking its syntax trees and by watching it being imported.

The syntax trees say where ``re`` is used, and by which methods. What is compiled there is recorded in a process
of its own (``python -m tests.hostile.patterns``), which imports every module while ``re`` is watched, and builds
what depends on a model's configuration: from each family, and from a configuration that uses every key. So a
new pattern is found without being registered. A place that was never reached fails the test: what compiles it
is then to be added to :func:`_build`.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["SCANNING", "Found", "Site", "find_patterns", "sites"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trio_gateway"
SCANNING = frozenset(["search", "findall", "finditer", "sub", "subn", "split"])
"""Methods that try a pattern at every place of a text."""
ANCHORED = frozenset(["match", "fullmatch"])
USES = SCANNING | ANCHORED

CONFIGURATION = """
[models.tagged]
match = "^tagged-[a-z]+(?:-[0-9]+)?$"
markers = [["<think>", "</think>"], ["<think>", "</reason>"], ["{{", "}}"], ["Let's see:", "That's it:"]]
wrappers = [["<answer>", "</answer>"], ["", "[END]"]]
tool_markers = ["<tool_call>", "[TOOL]"]
label = "thought\\n"
[models.prose]
markers = [["<think>", "</think>"]]
prose_starts = ["Let me think", "I'm asked:"]
prose_ends = ["Therefore,", "The answer is"]
[models.channels]
dialect = "harmony"
"""
"""A configuration from which every kind of pattern is built."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place where the package uses a function of ``re``."""

    file: str
    line: int
    end: int
    methods: frozenset[str]
    """How its pattern is applied, as far as the syntax tree shows it; else in every way."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern, its flags, how it is applied, and the place it comes from."""

    pattern: str | bytes
    flags: int
    methods: frozenset[str]
    place: str


def sites() -> list[Site]:
    """All places of the package that use ``re``."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    own = {path: _uses_of_names([tree]) for path, tree in trees.items()}
    everywhere = _uses_of_names(trees.values())
    return [site for path, tree in trees.items() for site in _sites_of(path, tree, own[path], everywhere)]


def _sites_of(
    path: Path, tree: ast.Module, own: dict[str, set[str]], everywhere: dict[str, set[str]]
) -> Iterator[Site]:
    """The places of one module. A private name is used in it alone."""
    file = str(path.relative_to(ROOT))
    names = _names_of_values(tree)
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="re", names=imported) if {each.name for each in imported} & (
                USES | {"compile"}
            ):
                raise AssertionError(
                    f"{file}:{node.lineno}: import re as a whole, so that its uses are found"
                )
            case ast.Import(names=imported) if any(each.name == "re" and each.asname for each in imported):
                raise AssertionError(f"{file}:{node.lineno}: import re under its own name")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attr)) if attr in USES | {
                "compile"
            }:
                name = names.get(node, "")
                uses = own if name.lstrip(".").startswith("_") else everywhere
                methods = {attr} if attr in USES else uses.get(name, set(USES))
                yield Site(file, node.lineno, node.end_lineno or node.lineno, frozenset(methods))


def _names_of_values(tree: ast.Module) -> dict[ast.AST, str]:
    """The name or attribute to which the value of each expression goes, alone or in a collection."""
    names: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if len(targets) == 1 and (name := _name(targets[0])):
                names |= dict.fromkeys(ast.walk(node.value), name)
        elif isinstance(node, ast.keyword) and node.arg:
            names |= dict.fromkeys(ast.walk(node.value), f".{node.arg}")
    return names


def _name(node: ast.expr) -> str:
    """``NAME``, ``.attribute``, or what a subscript is of."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=attr):
            return f".{attr}"
        case ast.Subscript(value=value):
            return _name(value)
        case _:
            return ""


def _uses_of_names(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """How each name is used as a pattern: by which methods, or in every way where it is handed on."""
    uses: dict[str, set[str]] = defaultdict(set)
    for tree in trees:
        receivers: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in USES and (name := _name(node.value)):
                uses[name].add(node.attr)
                receivers.update(ast.walk(node.value))
            elif isinstance(node, ast.Compare):  # ``is not None``
                receivers.update(ast.walk(node))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute) and node not in receivers:
                uses[_name(node)] |= USES if isinstance(node.ctx, ast.Load) else set()
    return uses


def find_patterns() -> tuple[list[Found], list[str]]:
    """Every pattern of the package, once, and the places of those that were not reached."""
    command = [sys.executable, "-m", "tests.hostile.patterns"]
    recorded = ast.literal_eval(
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    )
    missing: list[str] = []
    merged: dict[tuple[str | bytes, int], tuple[frozenset[str], str]] = {}
    for site in sites():
        place = f"{site.file}:{site.line}"
        here = [
            (pattern, flags)
            for file, line, pattern, flags in recorded
            if file == site.file and site.line <= line <= site.end
        ]
        missing += [] if here else [place]
        for key in here:
            methods, first = merged.get(key, (frozenset(), place))
            merged[key] = (methods | site.methods, first)
    return [Found(*key, *value) for key, value in merged.items()], missing


# ---------------------------------------------------------------- in the process that is watched


def _watch(recorded: set[tuple[str, int, str | bytes, int]]) -> None:
    def watched(real: Callable[..., Any], flags_at: int) -> Callable[..., Any]:
        def call(pattern: Any, *args: Any, **named: Any) -> Any:
            frame = sys._getframe(1)
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE):
                flags = named.get("flags", args[flags_at] if len(args) > flags_at else 0)
                recorded.add((str(path.relative_to(ROOT)), frame.f_lineno, pattern, int(flags)))
            return real(pattern, *args, **named)

        return call

    for name in USES | {"compile"}:
        flags_at = {"compile": 0, "sub": 3, "subn": 3, "split": 2}.get(name, 1)
        setattr(re, name, watched(getattr(re, name), flags_at))


def _constants(recorded: set[tuple[str, int, str | bytes, int]]) -> None:
    """Patterns that stand as constants inside functions need not be reached."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=attr),
                    args=[ast.Constant(value=pattern), *more],
                    keywords=[],
                ) if attr in USES and isinstance(pattern, str | bytes):
                    flags = re.ASCII if any("ASCII" in ast.dump(each) for each in more) else re.NOFLAG
                    recorded.add((str(path.relative_to(ROOT)), node.lineno, pattern, int(flags)))
                case _:
                    pass


def _build() -> None:
    """Build what is built from a model's configuration, for each family and for CONFIGURATION."""
    from trio_gateway.core.config.families import DEFAULT_MODELS
    from trio_gateway.core.config.settings import load_settings, resolve_model
    from trio_gateway.core.errors import redact
    from trio_gateway.core.reasoning.grammar import grammar_of
    from trio_gateway.core.upstream_api.history import clean_history

    files = {"gateway.toml": CONFIGURATION}
    settings = load_settings({"GATEWAY_CONFIG": "gateway.toml"}, read_text=files.__getitem__)
    assert resolve_model(settings.config, "tagged-model-7") is settings.config.models["tagged"]
    for model in (*DEFAULT_MODELS.values(), *settings.config.models.values()):
        grammar = grammar_of(model)
        closers = frozenset(grammar.closers.values())
        for orphans, wrapped in product((False, True), (frozenset[str](), closers)):
            grammar.output(orphans=orphans, wrapped=wrapped)
        clean_history([{"role": "assistant", "content": ""}], keep_reasoning=False, markers=model.markers)

    redact("", ["key"])


def _main() -> None:
    recorded: set[tuple[str, int, str | bytes, int]] = set()
    _watch(recorded)
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "__main__.py":
            parts = path.relative_to(ROOT).with_suffix("").parts
            importlib.import_module(".".join(part for part in parts if part != "__init__"))
    _build()
    _constants(recorded)
    print(sorted(recorded, key=repr))


if __name__ == "__main__":
    _main()
