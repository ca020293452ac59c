"""Command of the benchmark: ``./run bench [FIGURE...] [OPTION...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.streams.docs import write_docs
from benchmarks.streams.figures import FIGURES
from benchmarks.streams.gateway import ROOT
from benchmarks.streams.machine import describe, load_average
from benchmarks.streams.peers import FOLDER_VARIABLE, PEERS, executable
from benchmarks.streams.processes import Cores, raise_file_limit
from benchmarks.streams.programs import MissingProgramError, build
from benchmarks.streams.results import Results
from benchmarks.streams.rounds import measure
from benchmarks.streams.stage import Stage
from benchmarks.streams.table import details, noise, table

_EPILOG = f"""
figures:
{chr(10).join(f"  {key:4} {figure.title}" for key, figure in FIGURES.items())}

Peers are measured where their executables are on PATH, or in the folder that {FOLDER_VARIABLE} names; nothing is
installed. All of it takes about a quarter of an hour, --quick less than a minute. Everything listens on loopback.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description="Measure the gateway beside other gateways, under the same load, in the same run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="P1 to P11 (default: all)")
    parser.add_argument("--quick", action="store_true", help="one short round, of what needs no long run")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of each figure (default: 3; quick: 1)"
    )
    parser.add_argument("--peers", metavar="A,B", help="peers to measure (default: all that are installed)")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="another checkout of the gateway",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value of every round")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="use such a file, and measure only figures that are named, anew",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write the table and the charts of docs/performance.md"
    )
    return parser


def _figures(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    asked = [name.upper() for name in options.figures]
    if unknown := [name for name in asked if name not in FIGURES]:
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    return asked or [key for key, figure in FIGURES.items() if figure.in_quick or not options.quick]


def _targets(parser: argparse.ArgumentParser, options: argparse.Namespace, stage: Stage) -> list[str]:
    names = {peer.name for peer in PEERS}
    if options.peers is None:
        # LiteLLM takes longer to start, and for one round, than all else of a quick run.
        return [name for name in stage.targets if name != "litellm" or not options.quick]
    asked = set(filter(None, options.peers.split(",")))
    if missing := asked - set(stage.targets):
        parser.error(
            f"not installed, or no peer: {', '.join(sorted(missing))}; peers are {', '.join(sorted(names))}"
        )
    return [name for name in stage.targets if name not in names or name in asked]


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Results:
    figures = _figures(parser, options)
    programs = ROOT / ".run" / "bench"
    build(programs)
    for peer in PEERS:
        if executable(peer) is None:
            print(f"{peer.name} is not installed, and left out ({peer.install})", file=sys.stderr)
    cores = Cores.choose()
    if cores.shared:
        print("there is one core: the load programs take time from what is measured", file=sys.stderr)
    raise_file_limit()
    trees = {tree.resolve().name: tree.resolve() for tree in options.beside}
    with Stage(cores, programs, trees) as stage:
        rounds = options.rounds or (1 if options.quick else 3)
        results = Results(describe(stage), _targets(parser, options, stage), stage.gateways, rounds)
        if options.results:
            results = _measured_anew(options.results, results, figures)
        before = load_average()
        try:
            measure(stage, results, figures, rounds, quick=options.quick)
        except KeyboardInterrupt:
            results.notes.append("the run was interrupted; what it had measured stands above")
        what = ", ".join(figures) if options.results else "the run"
        results.machine[f"load average before and after {what}"] = f"{before} and {load_average()}"
    return results


def _measured_anew(path: Path, results: Results, figures: list[str]) -> Results:
    """Earlier results, without those of *figures*; both runs must have measured the same gateway and targets."""
    earlier = Results.load(path)
    fixed = ("CPU", "gateway", "Python")
    if earlier.targets != results.targets or any(
        earlier.machine[key] != results.machine[key] for key in fixed
    ):
        raise SystemExit(f"error: {path} is of another machine, another gateway or other targets")
    earlier.forget(figures)
    return earlier


def _results(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Results:
    if options.results and not options.figures:
        return Results.load(options.results)
    return _run(parser, options)


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    if not sys.platform.startswith("linux"):
        parser.error("the benchmark needs Linux: it pins processes to cores and reads /proc")
    try:
        results = _results(parser, options)
    except MissingProgramError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(results), noise(results), details(results), sep="\n\n", end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in results.machine.items()))
    print("\n".join(f"failed: {note}" for note in results.notes))
    if options.json:
        results.save(options.json)
    if options.write_docs:
        write_docs(results, ROOT / "docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
