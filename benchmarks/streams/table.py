"""Table of results, in Markdown that reads well as plain text too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures import FIGURES
from benchmarks.streams.results import verdict
from benchmarks.streams.stage import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.streams.figures import Bar, Figure, Quantity
    from benchmarks.streams.results import Results, Summary

__all__ = ["details", "noise", "number", "table"]

_QUIET_GAP: Final = 5.0
"""Milliseconds."""


def number(value: float) -> str:
    """Three significant digits, thousands as k."""
    if abs(value) >= 100_000:
        return f"{value / 1000:.0f}k"
    if abs(value) >= 1000:
        return f"{value / 1000:.3g}k"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: Results) -> str:
    """A row for each quantity: medians with their spread on every target, the ratio, the bar."""
    head = ["", *results.targets, "ratio", "bar", "reached"]
    rows = [head, ["-"] * len(head)]
    for key in (key for key in FIGURES if key in results.values):
        figure = FIGURES[key]
        rows.append([f"**{key}** {figure.title}", *[""] * (len(head) - 1)])
        rows += [_row(results, figure, quantity) for quantity in figure.quantities if not quantity.detail]
    return _aligned(rows)


def details(results: Results) -> str:
    """The quantities that the table leaves out, of the gateway; "" if there are none."""
    rows = [["", GATEWAY], ["-", "-"]]
    for key in results.values:
        for quantity in FIGURES[key].quantities:
            found = results.summary(key, quantity.key, GATEWAY)
            if quantity.detail and found is not None:
                rows.append([f"{key} {_title(quantity)}", _cell(found)])
    return _aligned(rows) if len(rows) > 2 else ""


def noise(results: Results) -> str:
    """Whether the machine was quiet enough for bars in milliseconds: nginx shows it, which adds next to none."""
    found = results.summary("P3", "gap", "nginx")
    if found is None:
        return "Whether bars in ms count is not known: nginx was not measured at P3."
    verb = "count" if found.median <= _QUIET_GAP else "do not count"
    return (
        f"Bars in ms {verb} in this run: nginx's own gap at P3 is {number(found.median)} ms at p99, and they count "
        f"up to {_QUIET_GAP:g} ms. Where they do not, read the gateway's figure beside nginx's."
    )


def _row(results: Results, figure: Figure, quantity: Quantity) -> list[str]:
    cells = [_cell(results.summary(figure.key, quantity.key, target)) for target in results.targets]
    return [
        _title(quantity),
        *cells,
        _ratio(results, figure, quantity),
        _bar(quantity.bar, quantity.unit),
        verdict(results, figure.key, quantity),
    ]


def _title(quantity: Quantity) -> str:
    return f"{quantity.title}, {quantity.unit}" if quantity.unit else quantity.title


def _cell(found: Summary | None) -> str:
    return "" if found is None else number(found.median) + _spread(found)


def _spread(found: Summary) -> str:
    if found.least == found.most:
        return ""
    if found.spread > 1:
        return f" ({number(found.least)} to {number(found.most)})"
    return f" ±{100 * found.spread:.0f} %"


def _ratio(results: Results, figure: Figure, quantity: Quantity) -> str:
    peer = quantity.bar.peer if quantity.bar is not None and quantity.bar.peer else quantity.compare
    if peer is None or (found := results.ratio(figure.key, quantity.key, peer)) is None:
        return ""
    return f"{found.median:.3g} × {peer}{_spread(found)}"


def _bar(bar: Bar | None, unit: str) -> str:
    if bar is None:
        return ""
    sign, measure = ("≥" if bar.at_least else "≤"), (f"× {bar.peer}" if bar.peer else unit)
    beyond = "" if bar.beyond is None else f" ({bar.beyond:g})"
    return f"{sign} {bar.limit:g} {measure}{beyond}"


def _aligned(rows: Iterable[list[str]]) -> str:
    listed = list(rows)
    widths = [max(len(row[at]) for row in listed) for at in range(len(listed[0]))]

    def lines() -> Iterator[str]:
        for row in listed:
            fill = "-" if set(row) == {"-"} else " "
            yield (
                "| "
                + " | ".join(cell.ljust(width, fill) for cell, width in zip(row, widths, strict=True))
                + " |"
            )

    return "\n".join(lines())
