"""Charts of results: draw bars and curves as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.streams.table import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["bars", "curves"]

_WIDTH: Final = 720
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .page { fill: #0d1117 }
  }
"""
_OWN: Final = "#d1570b"
_OTHERS: Final = ("#3b6ea8", "#4b8b5c", "#7a5ea8", "#8a7a3b", "#6e7781")
_BAR: Final = 34
_LABEL: Final = 120
_TOP, _LEFT, _RIGHT, _HEIGHT, _BOTTOM = 60, 70, 130, 280, 60
_STEPS: Final = 4
"""Lines of the grid."""


def bars(title: str, unit: str, values: Mapping[str, float], own: str) -> str:
    """One bar for each name of *values*, the largest across the page; *own* has a colour of its own."""
    most = max(values.values())
    room = _WIDTH - _LABEL - 90
    body = [_text(16, 28, title, "title"), _text(16, 46, unit, "small")]
    for at, (name, value) in enumerate(values.items()):
        top = _TOP + at * _BAR
        width = room * value / most
        colour = _OWN if name == own else _OTHERS[0]
        body.append(_text(_LABEL - 8, top + 18, name, anchor="end"))
        body.append(f'<rect x="{_LABEL}" y="{top}" width="{width:.1f}" height="24" rx="3" fill="{colour}"/>')
        body.append(_text(_LABEL + width + 8, top + 18, number(value)))
    return _page(_TOP + len(values) * _BAR + 12, body)


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where a point lies: *steps* along x at equal distances, y from 0 to *most*."""

    steps: int
    most: float

    def x(self, step: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / max(self.steps - 1, 1)

    def y(self, value: float) -> float:
        return _TOP + _HEIGHT * (1 - value / self.most)


def curves(
    title: str, unit: str, along: Sequence[str], values: Mapping[str, Sequence[float]], own: str
) -> str:
    """One line for each name of *values*, with a value for each word of *along*."""
    axes = _Axes(len(along), _round_up(max(max(line) for line in values.values())))
    body = [_text(16, 28, title, "title"), _text(16, 46, unit, "small"), *_grid(axes, along)]
    others = iter(_OTHERS * (1 + len(values) // len(_OTHERS)))
    for name, line in values.items():
        colour = _OWN if name == own else next(others)
        points = " ".join(f"{axes.x(at):.1f},{axes.y(value):.1f}" for at, value in enumerate(line))
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        for at, value in enumerate(line):
            body.append(f'<circle cx="{axes.x(at):.1f}" cy="{axes.y(value):.1f}" r="3.5" fill="{colour}"/>')
            body.append(_text(axes.x(at), axes.y(value) - 9, number(value), "small", "middle"))
        body.append(_text(axes.x(len(line) - 1) + 14, axes.y(line[-1]) + 4, name))
    return _page(_TOP + _HEIGHT + _BOTTOM, body)


def _grid(axes: _Axes, along: Sequence[str]) -> list[str]:
    found = []
    for step in range(_STEPS + 1):
        value = axes.most * step / _STEPS
        y = axes.y(value)
        found.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        found.append(_text(_LEFT - 8, y + 4, number(value), "small", "end"))
    below = _TOP + _HEIGHT + 22
    return found + [_text(axes.x(at), below, word, "small", "middle") for at, word in enumerate(along)]


def _round_up(value: float) -> float:
    """The next number above that divides well: 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10.0 ** (len(str(int(value))) - 1)
    return next(
        factor * power for factor in (1, 2, 4, 6, 8, 10) if factor * power > value * 1.05 or factor == 10
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _page(height: float, body: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}">',
        f"<style>{_STYLE}</style>",
        '<rect class="page" width="100%" height="100%" rx="8"/>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
