"""``/health`` of several workers as one."""

from __future__ import annotations

from typing import Any

import pytest

from trio_gateway.core.breaker import State
from trio_gateway.server.workers.whole_health import whole_health


def upstream(**changed: object) -> dict[str, Any]:
    plain = {
        "state": "closed",
        "generation": 0,
        "failure_rate": 0.0,
        "slow_rate": 0.0,
        "calls": 0,
        "open_until_s": 0.0,
        "probes_in_flight": 0,
        "in_flight": 0,
        "opened_total": 0,
        "last_error_class": None,
        "reachable": True,
        "seen_s": 1.0,
    }
    return {**plain, **changed}


def body(status: str = "ok", streams: int = 0, **upstreams: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": status,
        "version": "1.2.3",
        "uptime_s": 5.0,
        "active_streams": streams,
        "upstreams": upstreams,
    }


def whole(*bodies: dict[str, Any], wanted: int | None = None, stopping: bool = False) -> dict[str, Any]:
    return whole_health(bodies, wanted=wanted or len(bodies), uptime=7.12345, stopping=stopping)


def test_the_whole() -> None:
    assert whole(body(streams=2, main=upstream()), body(streams=3, main=upstream()), wanted=3) == {
        "status": "degraded",
        "version": "1.2.3",
        "uptime_s": 7.123,
        "active_streams": 5,
        "workers": {"wanted": 3, "answering": 2},
        "upstreams": {"main": upstream()},
    }


@pytest.mark.parametrize(
    ("statuses", "wanted", "stopping", "expected"),
    [
        (("ok", "ok"), 2, False, "ok"),
        (("ok",), 2, False, "degraded"),
        (("ok", "degraded"), 2, False, "degraded"),
        (("ok", "unavailable"), 2, False, "degraded"),
        (("unavailable", "unavailable"), 2, False, "unavailable"),
        (("ok", "draining"), 2, False, "degraded"),
        (("ok", "draining"), 2, True, "draining"),
        (("draining",), 2, True, "draining"),
    ],
)
def test_status(statuses: tuple[str, ...], wanted: int, stopping: bool, expected: str) -> None:
    assert whole(*map(body, statuses), wanted=wanted, stopping=stopping)["status"] == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (
            [upstream(calls=1, failure_rate=1.0, slow_rate=0.0), upstream(calls=3, slow_rate=1.0)],
            upstream(calls=4, failure_rate=0.25, slow_rate=0.75),
        ),
        (
            [
                upstream(in_flight=1, probes_in_flight=1, opened_total=2),
                upstream(in_flight=2, opened_total=1, generation=3),
            ],
            upstream(in_flight=3, probes_in_flight=1, opened_total=3, generation=3),
        ),
        (
            [upstream(last_error_class="x"), upstream(state="open", open_until_s=3.0, failure_rate=1.0)],
            upstream(state="open", open_until_s=3.0, last_error_class="x", failure_rate=1.0),
        ),
        (
            [upstream(reachable=None, seen_s=None), upstream(reachable=False, seen_s=4.0)],
            upstream(reachable=False, seen_s=4.0),
        ),
        (
            [upstream(reachable=False, seen_s=4.0), upstream(reachable=True, seen_s=0.0)],
            upstream(reachable=True, seen_s=0.0),
        ),
        ([upstream(reachable=None, seen_s=None)] * 2, upstream(reachable=None, seen_s=None)),
    ],
)
def test_an_upstream(shown: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert whole(*(body(main=each) for each in shown))["upstreams"]["main"] == expected


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_breaker_has_its_place(state: State) -> None:
    shown = whole(body(main=upstream(state=state)), body(main=upstream()))["upstreams"]["main"]
    assert shown["state"] == state


def test_while_one_has_taken_up_another_upstream_already() -> None:
    assert list(whole(body(a=upstream()), body(a=upstream(), b=upstream()))["upstreams"]) == ["a", "b"]
