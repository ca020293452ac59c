"""Hostile text (P10): measures who waits for a MiB of one kind.

It comes as reasoning or as answer; how the time grows with the text is measured as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.streams.figures.figure import Bar, Figure, Quantity
from benchmarks.streams.load import Load

if TYPE_CHECKING:
    from benchmarks.streams.servers import Server
    from benchmarks.streams.stage import Stage

__all__ = ["HOSTILE"]

_KINDS: Final = ("letters", "digits", "angles", "backticks", "cjk", "sentence")
_PLACES: Final = {"think": "reasoning", "body": "answer"}
_PIECE: Final = 4096
_SMALL, _LARGE = 64 * 1024, 1024 * 1024
_PROBE_LONGEST: Final = 8
"""Seconds, at the most, for which another client asks beside a text."""
_LONGEST: Final = 20
"""Seconds after which a text that has not come through is given up; its time is then at least that."""


def _text(place: str, kind: str, size: int, requests: int) -> Load:
    answer = f"{place}={size // _PIECE},size={_PIECE},text={kind},tokens=1"
    return Load(answer=answer, requests=requests, tokens=1, seconds=_LONGEST)


def _wait(stage: Stage, server: Server, took: float) -> float:
    """The longest wait, in ms, of another client that asks short questions for about *took* ms and 2 s more."""
    seconds = min(2 + round(took / 1000), _PROBE_LONGEST)
    probe = Load(answer="tokens=3", requests=10_000_000, tokens=3, gap_ms=3, seconds=seconds, may_fail=True)
    return stage.load.run(server, probe).ms("first_byte", "max")


def _one(stage: Stage, target: str, place: str, kind: str) -> dict[str, float]:
    """One kind of text, on a server of its own: it may keep one busy long after its client has left."""
    with stage.fresh(target) as server:
        small = stage.load.run(server, _text(place, kind, _SMALL, 3)).ms("whole")
        large = stage.load.run(server, _text(place, kind, _LARGE, 1))
        finished = bool(large.end["good"])
        took = large.ms("whole") if finished else 1000 * large.seconds
        with stage.load.beside(server, _text(place, kind, _LARGE, 10_000)):
            wait = _wait(stage, server, took)
    return {"wait": wait, "growth": took / small, "ms": took, "unfinished": not finished}


def _hostile(stage: Stage, target: str, *, quick: bool) -> dict[str, float]:
    """One round; the rows are the worst over all kinds, the details each kind's."""
    kinds = _KINDS[1:3] if quick else _KINDS
    with stage.fresh(target) as server:
        alone = _wait(stage, server, 0)
    found = {(place, kind): _one(stage, target, place, kind) for place in _PLACES for kind in kinds}
    worst = {name: max(each[name] for each in found.values()) for name in ("wait", "growth")}
    each = {
        f"{place}_{kind}_{name}": value
        for (place, kind), values in found.items()
        for name, value in values.items()
    }
    unfinished = sum(each["unfinished"] for each in found.values())
    return {"wait_alone": alone, **worst, **each, "unfinished": unfinished}


def _details() -> list[Quantity]:
    names = {
        "wait": ("longest wait of another request", "ms"),
        "growth": ("time, against 64 KiB", "×"),
        "ms": ("time of 1 MiB", "ms"),
    }
    return [
        Quantity(f"{place}_{kind}_{key}", f"{where}, {kind}: {title}", unit, compare=None, detail=True)
        for place, where in _PLACES.items()
        for kind in _KINDS
        for key, (title, unit) in names.items()
    ]


HOSTILE: Final = Figure(
    "P10",
    "1 MiB of letters, digits, <, backticks, CJK or one sentence, as reasoning or as answer",
    (
        Quantity("wait", "longest wait of another request, worst kind", "ms", Bar(50)),
        Quantity("wait_alone", "the same, with nothing beside it", "ms"),
        Quantity("growth", "time of 1 MiB against 64 KiB, worst kind", "×", Bar(24), compare=None),
        Quantity("unfinished", f"kinds that take more than {_LONGEST} s", "", Bar(0), compare=None),
        *_details(),
    ),
    _hostile,
    targets=(),
    in_quick=False,
)
