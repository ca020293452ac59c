"""What must be true of the gateway's inside: nothing is held, nothing runs on, and the books balance."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tests.simulation.behaviour import GOOD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import trio

    from tests.simulation.network import Network
    from tests.simulation.records import Attempt, Records
    from trio_gateway.engine.backend import Backend
    from trio_gateway.server.app import GatewayApp

__all__ = [
    "check_connections",
    "check_gateway",
    "check_openings",
    "check_requests",
    "check_sockets",
    "tasks_of",
]

# Seconds (virtual: nothing is computed in them) in which a request's end must have reached everything of
# it.
_AT_ONCE = 0.05
# Share of a breaker's window that is inside it at any instant: it has ten slots, and the oldest one is cut off.
_SURELY_INSIDE = 0.9
# Reasons for which calls that failed open a breaker.
_TRIPS = {"consecutive", "failure_rate"}
# The lists of models are asked for in the background, so what this task does at a given moment is no matter.
_BACKGROUND = "Catalogue._follow"


def tasks_of(nursery: trio.Nursery) -> Counter[str]:
    """The names of all tasks below *nursery*."""
    names: Counter[str] = Counter()
    for task in nursery.child_tasks:
        names[task.name.removeprefix("trio_gateway.")] += 1
        if not task.name.endswith(_BACKGROUND):
            for below in task.child_nurseries:
                names += tasks_of(below)
    return names


def check_gateway(app: GatewayApp, records: Records) -> Iterator[str]:
    """With no request under way: permits, places, and what the metrics say."""
    gateway = app.gateway
    if gateway.active or gateway._running:
        yield f"held: {gateway.active} places, {len(gateway._running)} streams"
    backends = list(gateway.backends.values())
    if gateway._summarising is not None:
        backends.append(gateway._summarising)
    for backend in backends:
        yield from _check_backend(backend)
    counted = sum(
        sample.value
        for metric in gateway.metrics.requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )
    if counted != len(records.ended):
        yield f"metrics: {counted:g} requests counted, {len(records.ended)} logged"


def _check_backend(backend: Backend) -> Iterator[str]:
    seen = backend.breaker.snapshot(0.0)
    settled = seen.success + seen.failure + seen.neutral + seen.stale
    if seen.admitted != settled or seen.in_flight or seen.probes_in_flight:
        yield f"permits: {backend.name} admitted {seen.admitted} and settled {settled}"
    held = {"load": backend.traffic.load, "extra": backend.traffic.extra}
    held |= {"waiting": len(backend.traffic.waiting), "flowing": len(backend.traffic.flowing)}
    if any(held.values()):
        yield f"held: {backend.name} {held}"


def check_requests(records: Records) -> Iterator[str]:
    """A request is over when its answer is, or when its client has left."""
    for transcript in records.transcripts:
        nonce = transcript.asked.nonce
        over_at = records.ended.get(nonce)
        if over_at is None:
            if transcript.status is not None and transcript.status != 400:
                yield f"log: no line for an answered request ({nonce})"
            continue
        known_at = transcript.ended_at if transcript.left_at is None else transcript.left_at
        if known_at is not None and over_at > known_at + _AT_ONCE and not transcript.slow:
            yield f"over: {over_at - known_at:.3f} s after its client was gone or had it all ({nonce})"


def check_connections(records: Records) -> Iterator[str]:
    """An upstream connection is closed with its request, or free for another one."""
    for attempt in (*records.attempts, *records.lines):
        if not attempt.nonce:
            continue  # nobody knows whose it is
        over_at = records.ended.get(attempt.nonce)
        if over_at is None:
            yield f"log: no line for a request that was sent on ({attempt.tag})"
            continue
        peer = attempt.socket.peer
        ends = (None if peer is None else peer.closed_at, attempt.whole_at)
        if not any(end is not None and end <= over_at + _AT_ONCE for end in ends):
            yield f"connection: {attempt.kind}, still open after the request's end ({attempt.tag})"


def check_openings(records: Records, windows: Mapping[str, float]) -> Iterator[str]:
    """A breaker does not open for what one client alone was answered, while others called.

    *windows* are the upstreams' windows in seconds.

    Where a connection failed, that may have been the reason. What went well is known for certain of answers
    that were good, and complete before their request ended (at its deadline, for example); every other one is
    taken for a bad one.
    """
    address = {each.asked.nonce: each.client.address for each in records.transcripts}

    def ended_well(attempt: Attempt, instant: float) -> bool:
        whole_at = math.inf if attempt.whole_at is None else attempt.whole_at
        return attempt.kind in GOOD and whole_at <= min(instant, records.ended.get(attempt.nonce, math.inf))

    for opening in (each for each in records.openings if each.upstream in windows):  # not the summary model's
        asked = [
            each
            for each in records.attempts
            if each.upstream == opening.upstream and each.began_at <= opening.at
        ]
        bad = {address[each.nonce] for each in asked if not ended_well(each, opening.at)}
        since = opening.at - _SURELY_INSIDE * windows[opening.upstream]
        callers = {address[each.nonce] for each in asked if each.began_at >= since}
        lost = any(name == opening.upstream and at <= opening.at for at, name in records.unanswered)
        if opening.reason in _TRIPS and not lost and len(bad) < 2 <= len(callers):
            yield f"opening: of {opening.upstream} for what {bad} was answered, beside {callers}"


def check_sockets(network: Network, *, at_end: bool) -> Iterator[str]:
    """At the end every socket of the gateway is closed; before it, those it keeps are clean."""
    for number, sock in enumerate(network.sockets):
        if sock.name.startswith("gateway") and sock.closed_at is None:
            if at_end:
                yield f"socket: {sock.name} {number} was never closed"
            elif sock.name == "gateway>" and sock.unread:
                yield f"socket: {sock.name} {number} is kept with {sock.unread} bytes to read"
