"""``python -m tests.simulation``: see the package."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.plan import Plan, draw_plan
from tests.simulation.schedule import run_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seeds a process runs at a time.
_BATCH = 20


def main() -> int:
    """0: no violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seeds", metavar="FROM:TO", help="run these and tell violations")
    what.add_argument("--seed", type=int, help="run one and print its trace")
    parser.add_argument("--only", metavar="N,N", help="with --seed: these clients alone")
    parser.add_argument(
        "--reduce", action="store_true", help="with --seed: leave out clients that do not matter"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    if options.seeds is not None:
        first, _, end = options.seeds.partition(":")
        return _many(range(int(first), int(end)), options.jobs)
    return _one(options.seed, options.only, reduce=options.reduce)


def _many(seeds: range, jobs: int) -> int:
    began, bad = time.perf_counter(), 0
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    for number, violations in _results(batches, jobs):
        bad += bool(violations)
        for violation in violations:
            print(f"seed {number}: {violation}", flush=True)
    took = time.perf_counter() - began
    print(f"{len(seeds)} schedules, {bad} with violations, {1000 * took / len(seeds):.0f} ms each")
    return int(bad > 0)


def _results(batches: list[range], jobs: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    if jobs == 1:
        for batch in batches:
            yield from _run_batch(batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for results in pool.map(_run_batch, batches):
            yield from results


def _run_batch(seeds: range) -> list[tuple[int, tuple[str, ...]]]:
    return [(seed, run_plan(draw_plan(seed)).violations) for seed in seeds]


def _one(seed: int, only: str | None, *, reduce: bool) -> int:
    plan = draw_plan(seed)
    if only is not None:
        plan = _with(plan, {int(number) for number in only.split(",")})
    if reduce:
        plan = _reduced(plan)
    result = run_plan(plan)
    print(plan.toml)
    for client in plan.clients:
        print(client)
    print(result.trace)
    for violation in result.violations:
        print(f"seed {seed}: {violation}")
    if reduce:
        print(f"--seed {seed} --only {','.join(str(client.number) for client in plan.clients)}")
    return int(bool(result.violations))


def _with(plan: Plan, numbers: set[int]) -> Plan:
    return replace(plan, clients=tuple(client for client in plan.clients if client.number in numbers))


def _reduced(plan: Plan) -> Plan:
    """The same with as few clients as show a violation of the same rules, found by leaving out one at a time."""
    rules = _rules(plan)
    for number in [client.number for client in plan.clients]:
        fewer = _with(plan, {client.number for client in plan.clients} - {number})
        if fewer.clients and rules & _rules(fewer):
            plan = fewer
    return plan


def _rules(plan: Plan) -> set[str]:
    return {violation.partition(":")[0] for violation in run_plan(plan).violations}


if __name__ == "__main__":
    sys.exit(main())
