"""A heartbeat beside an attack: every step of the event loop is counted, and the longest is measured.

How to add an attack: write a :class:`Row` whose ``play`` does it, in a table of your own, and hand each row to
:func:`check`. What is counted is deterministic: the steps in which a task of the gateway did its work. What is
measured is CPU time of this thread, so that a busy machine changes nothing, in units of the machine's speed.
"""

from __future__ import annotations

import gc
import math
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import CoroutineType
from typing import TYPE_CHECKING

import trio

from tests.support import (
    DONE,
    HEAD,
    Answer,
    ask,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.support import Json

__all__ = [
    *("HELD", "Heartbeat", "Row", "answer_through_gateway", "check", "gateway_answer", "heartbeat"),
    *("SHORT", "longest_slice", "slowness"),
]

HELD = 0.050
"""Seconds for which no input may hold the event loop."""
SHORT = 0.010
"""Seconds that a slice of a summary may take at most; it is meant to take 0.002."""
PLAYS = 3
"""Times an attack is played, if need be: the best one counts."""
# CPU seconds of the fixed work of :func:`_slowness` on the machine for which HELD is meant.
_REFERENCE = 0.0025

_END = object()
_NOT_THE_GATEWAYS = ("tests.", "trio.", "pytest_trio.", "httpx.", "httpcore.")
# Connections of both sides have this task; whose one is shows by the handler it was started with.
_HANDLER = "trio._highlevel_serve_listeners._run_handler"


@dataclass(slots=True, eq=False)
class Heartbeat(trio.abc.Instrument):
    """What the tasks did while an attack was played; tasks of the tests themselves are left out."""

    longest: float = 0.0
    """CPU seconds of the longest step."""
    longest_task: str = ""
    """The name of the task whose step that was."""
    steps: Counter[str] = field(default_factory=Counter)
    """How many steps the tasks of each name did, as in ``trio_gateway.engine.failover.Failover.run``."""
    _own: trio.lowlevel.Task = field(default_factory=trio.lowlevel.current_task)
    _names: dict[trio.lowlevel.Task, str] = field(default_factory=dict)
    _since: float = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task not in self._names:
            self._names[task] = _name(task)
        self._since = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        taken = time.thread_time() - self._since
        name = self._names.get(task, "tests.")  # a step that began before the watch
        if task is self._own or name.startswith(_NOT_THE_GATEWAYS):
            return
        self.steps[name] += 1
        if taken > self.longest:
            self.longest, self.longest_task = taken, name

    def steps_of(self, task: str) -> int:
        """The steps of all tasks whose name ends in *task*, as in ``Prompter.run``."""
        return sum(count for name, count in self.steps.items() if name.endswith(task))


def _name(task: trio.lowlevel.Task) -> str:
    frame = task.coro.cr_frame if isinstance(task.coro, CoroutineType) else None
    if task.name == _HANDLER and frame is not None:
        handler = frame.f_locals["handler"]
        return f"{getattr(handler, 'func', handler).__module__}.connection"
    return task.name


@contextmanager
def heartbeat() -> Iterator[Heartbeat]:
    """Watch the event loop while the block runs. The garbage of the test run is not collected meanwhile."""
    beat = Heartbeat()
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    trio.lowlevel.add_instrument(beat)
    try:
        yield beat
    finally:
        trio.lowlevel.remove_instrument(beat)
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Row:
    """An attack. *play* makes it, and checks what comes of it; it is called at most ``PLAYS`` times."""

    name: str
    play: Callable[[], Awaitable[None]]
    task: str = ""
    """The end of the name of the task whose steps are counted."""
    slices: int = 0
    """The fewest steps it must take: its work is cut into so many slices."""
    at_most: int = 1_000_000
    """The most steps it may take: its work has a bound."""


async def check(row: Row) -> None:
    """Play *row* and require that it was cut into slices and that no step held the event loop."""
    limit = HELD * slowness()
    for last in [False] * (PLAYS - 1) + [True]:
        with heartbeat() as beat:
            await row.play()
        if row.task:
            steps = beat.steps_of(row.task)
            assert row.slices <= steps <= row.at_most, f"{row.name}: {steps} steps of {row.task}"
        if beat.longest < limit:
            return
        assert not last, f"{row.name}: {beat.longest * 1000:.0f} ms in one step of {beat.longest_task}"


def longest_slice(begin: Callable[[], Iterator[None]]) -> float:
    """CPU seconds of the longest step of the iterator that *begin* gives, on the machine HELD is meant for: in
    the best of ``PLAYS`` runs, if one is not short enough at once."""
    best = math.inf
    for _ in range(PLAYS):
        steps, longest, done = begin(), 0.0, False
        while not done:
            since = time.thread_time()
            done = next(steps, _END) is _END
            longest = max(longest, time.thread_time() - since)
        best = min(best, longest / slowness())
        if best < SHORT:
            break
    return best


@lru_cache(maxsize=1)
def slowness() -> float:
    """How many times slower this machine is than the one HELD is meant for; never less than 1."""
    taken = []
    for _ in range(5):
        since = time.thread_time()
        sum(number * number % 7 for number in range(60_000))
        taken.append(time.thread_time() - since)
    return max(1.0, min(taken) / _REFERENCE)


async def gateway_answer(
    body: Json, *deltas: Json, toml: str = "", upstream: bytes | None = None, path: str | None = None
) -> tuple[Answer, list[Json]]:
    """Send *body* through a real gateway to an upstream that sends *deltas*, each as one event (or the bytes
    *upstream*); gives the answer and the requests that the upstream got."""
    events = b"".join(sse_chunk(delta) for delta in deltas)
    raw = HEAD + events + sse_chunk(finish="stop") + DONE if upstream is None else upstream
    async with (
        open_upstream(plays(raw)) as server,
        open_gateway(settings(toml, UPSTREAM_URL=server.url)) as client,
    ):
        if path is not None:
            return Answer(await client.post(path, json=body)), server.requests
        return await ask(client, body), server.requests


def answer_through_gateway(
    body: Json | None = None, *deltas: Json, toml: str = "", then: Callable[[Answer], None] | None = None
) -> Callable[[], Awaitable[None]]:
    """A ``play`` for :class:`Row`: *body* (a short question, where there is none) is answered by *deltas*.

    *then* checks the answer. An answer without its end, or with an error, is a failure in any case.
    """

    async def play() -> None:
        answer, _ = await gateway_answer(body or chat(), *(deltas or ({"content": "Four."},)), toml=toml)
        assert answer.error is None
        assert answer.done == 1
        if then is not None:
            then(answer)

    return play
