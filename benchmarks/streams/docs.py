"""Documentation of results: the table and the charts of ``docs/performance.md``, written from a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.streams.charts import bars, curves
from benchmarks.streams.figures.growth import STREAMS, key
from benchmarks.streams.stage import DIRECT, GATEWAY
from benchmarks.streams.table import details, noise, table

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.streams.results import Results

__all__ = ["write_docs"]

_BEGIN: Final = "<!-- results: written by ./run bench --write-docs -->\n"
_END: Final = "<!-- end of the results -->\n"
_FEWEST_BARS: Final = 2


def write_docs(results: Results, docs: Path) -> None:
    """Replace the results in ``performance.md``, and write charts and values into the folder beside it."""
    folder = docs / "performance"
    folder.mkdir(exist_ok=True)
    charts = {"throughput.svg": _throughput(results), "growth.svg": _growth(results)}
    for name, chart in charts.items():
        if chart is not None:
            (folder / name).write_text(chart, encoding="utf-8")
    results.save(folder / "results.json")
    page = docs / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, found, after = rest.partition(_END)
    if not found:
        raise ValueError(f"{page} has no place for the results: {_BEGIN.strip()} … {_END.strip()}")
    page.write_text(f"{before}{_BEGIN}\n{_text(results)}\n{_END}{after}", encoding="utf-8")


def _text(results: Results) -> str:
    machine = [f"- {name}: {value}" for name, value in results.machine.items()]
    more = details(results)
    parts = [
        f"Medians of {results.rounds} rounds or more, ± half their range, or with the range itself where that is wider; "
        "a ratio is the median of the rounds' ratios.",
        "\n".join(machine),
        table(results),
        noise(results),
        "![Unpaced tokens a second, beside peers](performance/throughput.svg)",
        "![CPU time a token over the number of streams](performance/growth.svg)",
        f"Hostile text, kind by kind:\n\n{more}" if more else "",
        "\n".join(f"- Failed: {note}" for note in results.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _throughput(results: Results) -> str | None:
    found = {name: results.summary("P1", "speed", name) for name in results.targets}
    values = {name: each.median for name, each in found.items() if each is not None}
    if len(values) < _FEWEST_BARS:
        return None
    title = "Unpaced: 32 streams × 300 tokens, no reasoning"
    unit = f"tokens a second ({DIRECT}: no gateway, the load programs' own ceiling)"
    return bars(title, unit, values, GATEWAY)


def _growth(results: Results) -> str | None:
    lines = {}
    for name in results.targets:
        found = [results.summary("P6", key(streams), name) for streams in STREAMS]
        medians = [each.median for each in found if each is not None]
        if len(medians) == len(STREAMS):
            lines[name] = medians
    if not lines:
        return None
    title = "CPU time a token, 2,000 tokens a second in all"
    return curves(
        title, "µs a token, over the number of open streams", [f"{n:,}" for n in STREAMS], lines, GATEWAY
    )
