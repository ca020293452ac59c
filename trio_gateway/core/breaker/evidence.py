"""Evidence: collects what calls show, and decides whether it opens the breaker.

A failure without an HTTP answer is the upstream's own. Any other bad call may be due to the request, so it is
judged by who asked. Calls of one client with one body count once while the first of them is in the window. Of
the bad calls that a trip needs, one client brings at most half, unless no other client called in the window.
Where the bad calls of a single model are enough, and another model had a success in the window, that model is
the culprit, and not the upstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .known_bodies import KnownBodies
from .state import Reason
from .tally import Tally
from .window import LatestTwo, Record, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import BreakerConfig
    from .calls import CallIdentity, Verdict
    from .window import Totals

__all__ = ["Evidence", "RunningCalls", "Trip"]


class RunningCalls:
    """The calls that are under way, by client.

    Each admitted call enters once and leaves once.
    """

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def enter(self, client: str) -> None:
        self._calls[client] = self._calls.get(client, 0) + 1

    def leave(self, client: str) -> None:
        self._calls[client] -= 1
        if not self._calls[client]:
            del self._calls[client]

    def has_other(self, client: str) -> bool:
        """Whether another client has a call under way."""
        return len(self._calls) > (client in self._calls)


class Trip(NamedTuple):
    """The evidence is enough."""

    reason: Reason
    bad: int
    calls: int
    model: str | None
    """The one model that is to blame; None: the upstream."""
    answered: bool
    """Each failure was an error that the upstream answered with."""


class Evidence:
    """What was seen since the last change of state."""

    def __init__(self, config: BreakerConfig, now: float, running: RunningCalls) -> None:
        self._config = config
        self._running = running
        self._streak = Tally()  # failures since the last success
        self._answers = 0  # failures since the last one that was no answer
        self._begin(now)

    def configure(self, config: BreakerConfig, now: float) -> None:
        """Go on under *config*; a window of another shape begins empty."""
        old, self._config = self._config, config
        if (config.window, config.window_calls) != (old.window, old.window_calls):
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._window = Window(self._config, now)
        self._bodies = KnownBodies()
        self._clients = LatestTwo()
        self._good_models = LatestTwo()

    def totals(self, now: float) -> Totals:
        """What the window holds."""
        return self._window.totals(now)

    def note(self, client: str, now: float) -> None:
        """*client* has begun or ended a call."""
        self._clients.note(client, self._window.slot(now))

    def has_company(self, client: str, now: float) -> bool:
        """Whether another client called in the window, or has a call under way."""
        return self._running.has_other(client) or self._clients.is_other_since(
            client, self._window.oldest(now)
        )

    def had_success(self, now: float) -> bool:
        """Whether a call succeeded in the window."""
        return self._good_models.is_any_since(self._window.oldest(now))

    def add_success(self, call: CallIdentity, now: float, *, slow: bool) -> None:
        """A call came to its end."""
        self._streak = Tally()
        self._good_models.note(call.model, self._window.slot(now))
        if not slow:
            self._window.add(now, Record())
        elif not self._is_repeat(call, now, failed=False):
            self._window.add(now, self._record(call, slow=True))

    def add_slow(self, call: CallIdentity, now: float) -> None:
        """A client left a call that should have had its first event long before."""
        if not self._is_repeat(call, now, failed=False):
            self._window.add(now, self._record(call, slow=True))

    def add_failure(self, call: CallIdentity, verdict: Verdict, now: float, *, slow: bool) -> None:
        """A call failed."""
        if verdict.unanswered:
            self._answers = 0
            self._streak.add(None)
            self._window.add(now, Record(failed=True, slow=slow))
        elif not self._is_repeat(call, now, failed=True):
            self._answers = self._answers + 1 if verdict.answered else 0
            self._streak.add(self._streak.fold((call.client, call.model)))
            self._window.add(now, self._record(call, failed=True, slow=slow))

    def drop(self, model: str) -> None:
        """Forget the bad calls of *model*: it is judged apart from now on."""
        self._answers = 0  # so many are not there any more
        self._streak.drop(model)
        self._window.drop(model)

    def trip(self, now: float) -> Trip | None:
        """Whether a closed breaker has seen enough."""
        config, window = self._config, self._window
        rules: tuple[tuple[Reason, Tally, Callable[[Tally], bool]], ...] = (
            (Reason.CONSECUTIVE, self._streak, lambda tally: self._is_streak(tally, now)),
            (
                Reason.FAILURE_RATE,
                window.failures,
                lambda tally: self._is_rate(tally, config.failure_rate, now),
            ),
            (Reason.SLOW_RATE, window.slow, lambda tally: self._is_rate(tally, config.slow_rate, now)),
        )
        for reason, tally, is_enough in rules:
            if is_enough(tally):
                model = self._culprit(tally, is_enough, now)
                bad = tally if model is None else tally.of(model)
                answered = reason is not Reason.SLOW_RATE and self._answers >= bad.total
                return Trip(reason, bad.total, window.calls, model, answered)
        return None

    def _is_streak(self, tally: Tally, now: float) -> bool:
        needed = self._config.consecutive
        return 0 < needed <= tally.total and needed <= self._capped(tally, now)

    def _is_rate(self, tally: Tally, rate: float, now: float) -> bool:
        calls, least = self._window.calls, self._config.min_calls
        if calls < least or tally.total / calls < rate:
            return False
        # What a client brings beyond its half is left out of the calls as well, or it would hide the others'.
        capped = self._capped(tally, now)
        return capped / max(calls - (tally.total - capped), least) >= rate

    def _capped(self, tally: Tally, now: float) -> int:
        return tally.capped(lambda client: self.has_company(client, now))

    def _culprit(self, tally: Tally, is_enough: Callable[[Tally], bool], now: float) -> str | None:
        oldest = self._window.oldest(now)
        for model in tally.models():
            if self._good_models.is_other_since(model, oldest) and is_enough(tally.of(model)):
                return model
        return None

    def _is_repeat(self, call: CallIdentity, now: float, *, failed: bool) -> bool:
        slot, oldest = self._window.slot(now), self._window.oldest(now)
        return self._bodies.is_repeat(call, failed=failed, slot=slot, oldest=oldest)

    def _record(self, call: CallIdentity, *, failed: bool = False, slow: bool = False) -> Record:
        tally = self._window.failures if failed else self._window.slow
        return Record(failed, slow, tally.fold((call.client, call.model)))
