"""The simulation, as far as there is time for it in every run; a seed gives one trace, in any process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.plan import draw_plan
from tests.simulation.schedule import run_plan

SEEDS = range(300)
BATCH = 30


@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_no_schedule_breaks_a_rule(first: int) -> None:
    found = {seed: run_plan(draw_plan(seed)).violations for seed in range(first, first + BATCH)}
    assert {seed: violations for seed, violations in found.items() if violations} == {}


@pytest.mark.parametrize("seed", [1, 5, 12])
def test_a_seed_gives_one_trace(seed: int) -> None:
    assert run_plan(draw_plan(seed)).trace == run_plan(draw_plan(seed)).trace


def test_another_process_gives_the_same_trace() -> None:
    def trace(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seed", "5"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, check=False, capture_output=True, text=True).stdout

    first = trace("1")
    assert "is told to stop" in first
    assert first == trace("2")
