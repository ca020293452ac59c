"""What one seed stands for: a configuration, clients with what they ask and how they behave, a shutdown.

How an upstream behaves is drawn later, from the seed and the name of the attempt (:mod:`.behaviour`), so that
a client can be left out of a plan and everything that concerns the others stays as it was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, TypeAlias

__all__ = ["SUMMARY_MODEL", "Asked", "ClientPlan", "Leave", "Plan", "Style", "draw_plan"]

Style: TypeAlias = Literal["tags", "field", "open"]
"""How an upstream tells reasoning from output: tags in the text, a field of its own, or an end tag alone."""

Leave: TypeAlias = Literal["", "close", "reset", "half"]
"""How a client leaves, if it does."""

SUMMARY_MODEL: Final = "tiny-writer"
_STYLES: Final[tuple[Style, ...]] = ("tags", "tags", "field", "open")
_PACES: Final = ((300, 0.01), (300, 0.1), (3000, 0.1), (3000, 1.0), (3000, 3.0))
_LEAVES: Final[tuple[Leave, ...]] = ("", "", "", "close", "reset", "half")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Its *nonce* stands in its prompt, and in every text an upstream gives for it."""

    nonce: str
    body: dict[str, Any]
    streamed: bool
    choices: int
    raw: bool
    """The client wants to see the reasoning itself."""
    usage: bool


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """One connection to the gateway. Instants and spans are seconds."""

    number: int
    at: float
    asked: tuple[Asked, ...]
    gap: float
    """Between the first request and a second one, which does not wait for the first one's answer."""
    bite: int
    """Bytes it takes at a time; 0: whatever is there."""
    pause: float
    """Between two reads."""
    leaves: Leave
    leaves_after: float
    stays: bool
    """Keeps its connection open when it has its answers."""

    @property
    def address(self) -> str:
        """Some of the connections are one client's: it is known by its address."""
        return f"10.2.0.{self.number % 4}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything but the behaviour of upstreams. *weather* is the share of attempts that go wrong."""

    seed: int
    toml: str
    grace: float
    """Seconds that running requests get when it is to stop."""
    upstreams: tuple[str, ...]
    attempts: int
    style: Style
    weather: float
    clients: tuple[ClientPlan, ...]
    drain_at: float | None


def draw_plan(seed: int) -> Plan:
    """The plan of *seed*."""
    rng = Random(f"plan {seed}")
    upstreams = ("a", "b", "c")[: rng.choice((1, 2, 2, 3))]
    style = rng.choice(_STYLES)
    attempts = rng.randint(1, 3)
    limits = {
        "heartbeat": rng.choice((0.2, 1.0, 5.0)),
        "request_timeout": rng.choice((4.0, 15.0, 60.0)),
        "write_timeout": rng.choice((1.0, 3.0, 10.0)),
        "graceful_timeout": rng.choice((1.0, 3.0, 6.0)),
    }
    summarised = rng.choice((True, True, True, False))
    return Plan(
        seed=seed,
        toml=_toml(rng, upstreams, style, limits, attempts, summarised=summarised),
        grace=limits["graceful_timeout"],
        upstreams=upstreams,
        attempts=attempts,
        style=style,
        weather=rng.choice((0.0, 0.2, 0.5, 0.5, 0.8, 1.0)),
        clients=tuple(_client(rng, number) for number in range(rng.randint(7, 10))),
        drain_at=rng.choice((None, None, None, round(rng.uniform(0.0, 4.0), 2))),
    )


def _toml(
    rng: Random,
    upstreams: tuple[str, ...],
    style: Style,
    limits: dict[str, float],
    attempts: int,
    *,
    summarised: bool,
) -> str:
    summary = {
        "prompt": rng.choice(("extractive", "model")) if summarised else "off",
        "reasoning": rng.choice(("extractive", "extractive", "model")) if summarised else "off",
        "interval": rng.choice((0.05, 0.2, 1.0)),
        "upstream": rng.choice(upstreams),
        "model": SUMMARY_MODEL,
        "timeout": rng.choice((0.1, 0.5, 2.0)),
    }
    tables = [_table("server", {**limits, "max_streams": rng.choice((3, 2000, 2000))})]
    for name in upstreams:
        tables += [_table(f"upstreams.{name}", _upstream(rng, name, attempts)), _breaker(rng, name)]
    tables += [_table("models.default", _model(rng, upstreams, style)), _table("summary", summary)]
    return "\n".join(tables)


def _upstream(rng: Random, name: str, attempts: int) -> dict[str, Any]:
    return {
        "url": f"http://{name}",
        "connect_timeout": rng.choice((0.3, 1.0)),
        "first_event_timeout": rng.choice((0.5, 1.0, 3.0)),
        "idle_timeout": rng.choice((0.3, 1.0, 2.0)),
        "max_concurrency": rng.choice((2, 8, 512, 512)),
        "max_attempts": attempts,
        "ask_usage": rng.random() < 0.7,
    }


def _breaker(rng: Random, name: str) -> str:
    small = {
        "window": rng.choice((1.0, 5.0, 30.0)),
        "min_calls": rng.choice((2, 4, 10)),
        "failure_rate": rng.choice((0.3, 0.5, 1.0)),
        "consecutive": rng.choice((0, 2, 5)),
        "slow_after": rng.choice((0.2, 1.0, 30.0)),
        "slow_rate": rng.choice((0.5, 1.0)),
        "open_base": rng.choice((0.1, 0.5, 2.0)),
        "open_cap": rng.choice((2.0, 5.0)),
        "jitter": rng.choice((0.0, 0.2)),
        "probes": rng.choice((1, 2)),
        "probe_timeout": rng.choice((0.3, 1.0)),
        "max_half_open": rng.choice((0.5, 2.0)),
        "on_trip": rng.choice(("unstarted", "unstarted", "all")),
    }
    return _table(f"upstreams.{name}.breaker", small)


def _model(rng: Random, upstreams: tuple[str, ...], style: Style) -> dict[str, Any]:
    on_runaway = rng.choice(("error", "next", "no_thinking"))
    return {
        "upstreams": list(upstreams),
        "upstream_model": "thinker",
        "markers": [["<think>", "</think>"]],
        "starts_in_reasoning": style == "open",
        "thinking_switch": "enable_thinking" if on_runaway == "no_thinking" else "",
        "hedge_after": rng.choice((0.0, 0.0, 0.1, 0.4)),
        "max_reasoning_seconds": rng.choice((0.0, 0.0, 0.5, 2.0)),
        "max_reasoning_chars": rng.choice((0, 0, 100, 1000)),
        "repetition_guard": rng.random() < 0.3,
        "on_runaway": on_runaway,
    }


def _table(name: str, values: dict[str, Any]) -> str:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[{name}]\n{lines}"


def _client(rng: Random, number: int) -> ClientPlan:
    leaves = rng.choice(_LEAVES)
    twice = rng.random() < (0.5 if leaves else 0.15)
    bite, pause = rng.choice(_PACES) if rng.random() < 0.2 else (0, 0.0)
    return ClientPlan(
        number=number,
        # Half of them come together, which is where races are.
        at=rng.choice((0.0, 0.1, round(rng.uniform(0.0, 4.0), 2))),
        asked=tuple(_asked(rng, f"zq{number:02}{which}") for which in "xy"[: 1 + twice]),
        gap=rng.choice((0.0, 0.0, 0.1, 0.5)),
        bite=bite,
        pause=pause,
        leaves=leaves,
        leaves_after=rng.choice((0.0, 0.05, round(rng.uniform(0.0, 3.0), 2))),
        stays=rng.random() < 0.5,
    )


def _asked(rng: Random, nonce: str) -> Asked:
    streamed = rng.choice((True, True, None, False))
    choices = rng.choice((1, 1, 1, 2))
    shown = rng.choice(("summary", "summary", "summary", "raw", "both", "off"))
    usage = rng.random() < 0.3
    options = {"reasoning": shown, "prompt_summary": rng.random() < 0.9}
    if rng.random() < 0.5:
        options["detail"] = rng.choice(("concise", "auto", "detailed"))
    body = {
        "messages": [{"role": "user", "content": _prompt(rng, nonce)}],
        "gateway": options,
        **({"stream": streamed} if streamed is not None else {}),
        **({"n": choices} if choices > 1 else {}),
        **({"stream_options": {"include_usage": True}} if usage else {}),
    }
    return Asked(nonce, body, streamed is not False, choices, raw=shown in {"raw", "both"}, usage=usage)


def _prompt(rng: Random, nonce: str) -> str:
    if rng.random() < 0.6:
        return f"What becomes of {nonce}?"
    things = rng.sample(("the harbour", "the night train", "an old map", "the third bridge"), 3)
    wishes = [f"Please explain how {thing} of {nonce} is kept in order." for thing in things]
    return "\n".join([*wishes, "Keep it short, and say what you are not sure of."])
