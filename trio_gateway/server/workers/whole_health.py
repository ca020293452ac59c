"""Health of the whole: one ``/health`` from those of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...core.breaker import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["whole_health"]

# From the best to the worst, so that the whole shows what is wrong with one.
_BY_STATE: Final = (State.CLOSED, State.FORCED_CLOSED, State.HALF_OPEN, State.OPEN, State.FORCED_OPEN)
_ADDED: Final = ("calls", "probes_in_flight", "in_flight", "opened_total")
_SHARES: Final = ("failure_rate", "slow_rate")


def whole_health(
    bodies: Sequence[Mapping[str, Any]], *, wanted: int, uptime: float, stopping: bool
) -> dict[str, Any]:
    """The body for all workers, of which *bodies* (at least one) have answered.

    *wanted*: how many there should be. *uptime*: seconds since the parent started. *stopping*: the gateway
    was ordered to stop.

    Numbers are added, shares weighted by the calls they are of. Of each upstream the worst breaker is shown,
    and whether it was reachable when a worker saw it last.
    """
    names = {name: None for body in bodies for name in body["upstreams"]}
    return {
        "status": "draining" if stopping else _status([str(body["status"]) for body in bodies], wanted),
        "version": bodies[0]["version"],
        "uptime_s": round(uptime, 3),
        "active_streams": sum(body["active_streams"] for body in bodies),
        "workers": {"wanted": wanted, "answering": len(bodies)},
        "upstreams": {
            name: _upstream([body["upstreams"][name] for body in bodies if name in body["upstreams"]])
            for name in names
        },
    }


def _status(statuses: Sequence[str], wanted: int) -> str:
    """A worker that drains while the gateway does not stop is being replaced: the whole lacks it."""
    if all(each == "unavailable" for each in statuses):
        return "unavailable"
    return "ok" if len(statuses) == wanted and all(each == "ok" for each in statuses) else "degraded"


def _upstream(shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worst = max(shown, key=lambda each: _BY_STATE.index(State(each["state"])))
    latest = min(shown, key=lambda each: (each["seen_s"] is None, each["seen_s"] or 0.0))
    calls = sum(each["calls"] for each in shown)
    return {
        **worst,
        "generation": max(each["generation"] for each in shown),
        **{name: sum(each[name] for each in shown) for name in _ADDED},
        **{
            name: sum(each[name] * each["calls"] for each in shown) / calls if calls else worst[name]
            for name in _SHARES
        },
        "last_error_class": worst["last_error_class"] or _first(shown, "last_error_class"),
        "reachable": latest["reachable"],
        "seen_s": latest["seen_s"],
    }


def _first(shown: Sequence[Mapping[str, Any]], name: str) -> Any:  # noqa: ANN401  # as it stands in JSON
    return next((each[name] for each in shown if each[name] is not None), None)
