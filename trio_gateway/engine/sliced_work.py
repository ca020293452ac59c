"""Slices: run the core's longer work between turns of other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

import trio

if TYPE_CHECKING:
    from ..core.summary.steps import Steps

__all__ = ["in_slices"]

T = TypeVar("T")


@overload
async def in_slices(steps: Steps[T]) -> T: ...


@overload
async def in_slices(steps: Steps[T], *, until: trio.Event) -> T | None: ...


async def in_slices(steps: Steps[T], *, until: trio.Event | None = None) -> T | None:
    """The result of *steps*, with a checkpoint at every yield; None, once *until* is set: it is given up."""
    while until is None or not until.is_set():
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        await trio.lowlevel.checkpoint()
    return None
