"""Charge: reserves a request's tokens at admission and settles them at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ..core.access.allowance import Claim
from ..core.errors import RequestError
from ..core.text.token_estimate import text_weight, tokens_of, weights

if TYPE_CHECKING:
    from ..core.access.usage import TokenCounts
    from ..core.client_api.request import ChatRequest
    from ..core.errors import ApiError
    from .clients import Client

__all__ = ["Charge"]


class Charge:
    """One request's part of what its *client* may use.

    A call that comes too late does nothing.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._claim = Claim()
        self._input = 0
        self._output = 0

    async def approach(self) -> None:
        """Where the request would be refused only as another gateway may hold what it needs, ask for that."""
        shared, allowance = self.client.shared, self.client.allowance
        if shared is not None:
            await shared.bring(lambda: allowance.lacking_request(self._claim, trio.current_time()), 1)

    def arrive(self) -> None:
        """The request is here; its body has not been read yet.

        Raises:
            RequestError: 429, the client has had all its requests of the minute.
        """
        _raise(self.client.allowance.arrive(self._claim, trio.current_time()))

    def withdraw(self) -> None:
        """The request is refused, and not for what it is."""
        self.client.allowance.withdraw(self._claim, trio.current_time())

    async def weigh(self, request: ChatRequest) -> None:
        """Estimate the tokens of *request*, where anything depends on them; others run in between.

        Where it would be refused only as another gateway may hold the tokens, ask for them.
        """
        if self.client.key.tpm is None:
            return
        weight = 0
        for part in weights(request.body):
            weight += part
            await trio.lowlevel.checkpoint()
        self._input = tokens_of(weight)
        shared, allowance = self.client.shared, self.client.allowance
        if shared is not None:
            await shared.bring(
                lambda: allowance.lacking_tokens(self._claim, self._input, trio.current_time()),
                max(1, self._input),
            )

    def check(self, model_id: str) -> None:
        """Raise where a request for that model may not begin now.

        Raises:
            RequestError: 401 (the key is not good any more), 404 (not this model) or 429 (not now, or never).
        """
        self.client.check(model_id)
        self.arrive()  # does nothing where it was called before, as it should be
        _raise(self.client.allowance.check(self._claim, self._input, trio.current_time()))

    def begin(self) -> None:
        """The request begins; :meth:`end` must follow."""
        self.client.allowance.begin(self._claim, self._input, trio.current_time())

    def end(self) -> None:
        """The request does not run any more."""
        self.client.allowance.end(self._claim)

    def add_output(self, text: str) -> None:
        """Count *text* of the answer, for the case that the upstream does not."""
        self._output += text_weight(text)

    def restart(self) -> None:
        """Another attempt begins: the client does not pay for the output of one that failed."""
        self._output = 0

    def settle(self, counts: TokenCounts) -> None:
        """The request is over, and its upstream has counted so many tokens.

        What the upstream has not counted, as the client left before, for instance, is estimated from what has
        reached the model and the client.
        """
        output = tokens_of(self._output)
        cost = counts.cost(estimated_input=self._input, estimated_output=output)
        self.client.allowance.settle(self._claim, cost, trio.current_time())


def _raise(refusal: ApiError | None) -> None:
    if refusal is not None:
        raise RequestError(refusal)
