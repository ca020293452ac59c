"""The benchmark's own programs compile, and count what they send; its results add up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.streams.charts import bars, curves
from benchmarks.streams.figures import FIGURES
from benchmarks.streams.load import Load, RunFailedError
from benchmarks.streams.processes import Cores
from benchmarks.streams.programs import MissingProgramError, build, compiler
from benchmarks.streams.results import Results, verdict
from benchmarks.streams.stage import DIRECT, GATEWAY, Stage
from benchmarks.streams.table import number, table

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler is installed")
needs_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(Cores.choose(), tmp_path_factory.mktemp("bench")) as opened:
        yield opened


def test_without_a_compiler_it_says_how_to_install_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(MissingProgramError, match="apt install gcc"):
        build(tmp_path)


@needs_compiler
@needs_linux
class TestPrograms:
    @pytest.mark.parametrize("whole", [False, True])
    def test_every_token_arrives_in_order(self, stage: Stage, whole: bool) -> None:
        load = Load(answer="think=10,tokens=50", streams=4, requests=40, tokens=50, warmup=4, whole=whole)
        run = stage.load.run(stage.server(DIRECT), load)
        assert (run.end["good"], run.tokens, run.end["most_open"]) == (40, 2000, 4)
        assert run.end["latency"]["count"] == 2000
        assert run.end["gap"]["count"] == 40 * 49
        assert 0 < run.ms("first_byte") <= run.ms("whole")

    def test_an_answer_that_lacks_tokens_has_failed(self, stage: Stage) -> None:
        server, load = stage.server(DIRECT), Load(answer="tokens=5", tokens=6)
        with pytest.raises(RunFailedError, match="status 200, 5 tokens"):
            stage.load.run(server, load)

    def test_paced_tokens_keep_their_pace(self, stage: Stage) -> None:
        load = Load(answer="tokens=11,pace_us=20000", streams=10, requests=10, tokens=11, ramp_ms=100)
        run = stage.load.run(stage.server(DIRECT), load)
        assert run.seconds >= 0.2
        assert run.ms("whole") >= 200

    @pytest.mark.parametrize(
        "text", ["words", "thoughts", "letters", "digits", "angles", "backticks", "cjk", "sentence"]
    )
    def test_every_kind_of_text_can_be_sent(self, stage: Stage, text: str) -> None:
        load = Load(answer=f"think=3,body=4,size=5000,text={text},tokens=1", tokens=1)
        assert stage.load.run(stage.server(DIRECT), load).end["good"] == 1

    def test_the_programs_explain_themselves_and_refuse_what_is_out_of_bounds(self, stage: Stage) -> None:
        for program in build(stage.folder):
            shown = subprocess.run(
                [program, "--help"], capture_output=True, text=True, timeout=10, check=True
            )
            assert shown.stdout.startswith("usage: ")
            refused = subprocess.run([program, "--port=70000"], capture_output=True, timeout=10, check=False)
            assert refused.returncode == 2
            assert b"whole number from 1 to 65535" in refused.stderr

    def test_a_run_can_be_ended_early(self, stage: Stage) -> None:
        load = Load(answer="tokens=1000000,pace_us=1000", tick_ms=20)
        run = stage.load.run(stage.server(DIRECT), load, until=lambda ticks: len(ticks) > 3)
        assert (run.end["good"], run.end["unfinished"]) == (0, 1)


def test_results_become_a_table_with_ratios_and_verdicts(tmp_path: Path) -> None:
    results = Results({"CPU": "any"}, ["smg", GATEWAY], [GATEWAY], rounds=2)
    for at, (smg, own) in enumerate([(100.0, 70.0), (200.0, 130.0)]):
        results.add("P1", "smg", at, {"speed": smg})
        results.add("P1", GATEWAY, at, {"speed": own})
    results.save(tmp_path / "results.json")
    loaded = Results.load(tmp_path / "results.json")
    speed = FIGURES["P1"].quantities[0]
    assert verdict(loaded, "P1", speed) == "yes"
    row = next(line for line in table(loaded).splitlines() if line.startswith("| tokens, 1/s"))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("tokens, 1/s", "150 ±33 %", "100 ±30 %"),
        *("0.675 × smg ±4 %", "≥ 0.6 × smg (1)", "yes"),
    ]


def test_a_round_that_failed_has_no_ratio() -> None:
    results = Results({}, ["smg", GATEWAY], [GATEWAY], rounds=2)
    results.add("P1", "smg", 1, {"speed": 100.0})
    results.add("P1", GATEWAY, 0, {"speed": 100.0})
    assert results.rounds_of("P1", "speed", "smg") == [None, 100.0]
    assert results.ratio("P1", "speed", "smg") is None
    assert verdict(results, "P1", FIGURES["P1"].quantities[0]) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (9.9, "9.9"), (345.6, "346"), (9234.0, "9.23k"), (123456.0, "123k")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_charts_are_well_formed() -> None:
    from xml.etree import ElementTree

    for chart in (
        bars("Speed & more", "1/s", {"a<b": 1.0, GATEWAY: 2.0}, GATEWAY),
        curves("Cost", "µs", ["50", "1,000"], {"smg": [40.0, 45.0], GATEWAY: [200.0, 900.0]}, GATEWAY),
    ):
        assert ElementTree.fromstring(chart).tag == "{http://www.w3.org/2000/svg}svg"


def test_figures_measured_anew_leave_the_others(tmp_path: Path) -> None:
    results = Results({}, [GATEWAY], [GATEWAY], rounds=1, notes=["P1, round 1, gateway: it failed", "other"])
    results.add("P1", GATEWAY, 0, {"speed": 1.0})
    results.add("P3", GATEWAY, 0, {"speed": 2.0})
    results.forget(["P1"])
    assert list(results.values) == ["P3"]
    assert results.notes == ["other"]
