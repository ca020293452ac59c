"""Garbage collections: keeps each of them short, however many streams are open.

Python's full collection looks at every object that lives. With 1,000 streams it takes 150 ms, and while they
are opened it happens a dozen times: 1 % of the first bytes came after 150 ms.

Here what has survived two collections is frozen, and never looked at again: they see what came since, which
is 20,000 objects and 6 ms. A stream that ends as usual needs no collection at all, since nothing in it refers
to itself in a circle, and a frozen object is freed like any other when the last reference to it goes. Circles
come of exceptions. Those that were frozen meanwhile are found when nothing runs, or when they are many.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["freezing_survivors", "is_worth_it", "look_again"]

_THRESHOLDS: Final = (2_000, 10, 1_000)
"""Objects that came until these are looked at (0.6 ms); how many times that until the survivors are again
(6 ms). A full collection is never due, as nothing gets so old without being frozen."""
_INTERVAL: Final = 60.0
"""Seconds between two looks at how many are frozen, which takes 2 ms."""
_LEFT: Final = 50_000
"""Objects more than there were, with no stream open, that are worth a look at all of them: 5 to 10 MB."""
_OF_A_STREAM: Final = 1_000
"""Objects that an open stream has at the most, twice what is usual."""
_MANY: Final = 100_000
"""Objects more than open streams explain that are worth it in any case, though it holds the loop."""


@contextmanager
def freezing_survivors() -> Iterator[int]:
    """Collect in this way within the context; gives the number of objects that are frozen at its start."""
    thresholds = gc.get_threshold()
    _collect_all()
    gc.set_threshold(*_THRESHOLDS)
    gc.callbacks.append(_freeze)
    try:
        yield gc.get_freeze_count()
    finally:
        gc.callbacks.remove(_freeze)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def look_again(at_start: int, streams: Callable[[], int]) -> None:
    """Look at what is frozen as well, where that is worth it; runs until cancelled.

    *at_start*: objects that were frozen at the start. *streams*: how many are open.
    """
    least = at_start
    while True:
        await trio.sleep(_INTERVAL)
        frozen = gc.get_freeze_count()
        least = min(least, frozen)
        if is_worth_it(frozen - least, streams()):
            gc.unfreeze()
            _collect_all()
            least = gc.get_freeze_count()  # what is left has its use, and is not looked at again for itself


def is_worth_it(more: int, streams: int) -> bool:
    """Whether so many frozen objects more than there were, with so many open streams, hint at garbage."""
    return more > (_LEFT if not streams else _MANY + _OF_A_STREAM * streams)


def _collect_all() -> None:
    gc.collect()
    gc.freeze()


def _freeze(phase: str, info: Mapping[str, int]) -> None:
    if phase == "stop" and info["generation"] > 0:
        gc.freeze()
