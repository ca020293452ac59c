"""Clients: holders of keys, with what their limits leave."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from ..core.access.allowance import Allowance
from ..core.access.shown_key import find_key
from ..core.config.keyfile import ClientKey
from ..core.errors import RequestError, error_for, no_such_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .shared_state import SharedState

__all__ = ["Client", "Clients"]


def _wrong_key() -> RequestError:
    """The refusal of a client that shows no key, or none of ours: always the same, as it must not teach."""
    return RequestError(
        error_for("invalid_api_key", "No valid API key: send a header Authorization: Bearer YOUR_KEY.")
    )


class Client:
    """The holder of one key.

    ``revoked`` is set when the key is not to be served any more. *shared*: where its limits are shared.
    """

    def __init__(self, key: ClientKey, shared: SharedState | None = None) -> None:
        self.key = key
        self.revoked = trio.Event()
        self.shared = shared
        self.allowance = Allowance(key, trio.current_time(), None if shared is None else shared.member)

    def change(self, key: ClientKey) -> None:
        """Go on under other limits."""
        self.key = key
        self.allowance.change(key, trio.current_time())

    def check(self, model_id: str) -> None:
        """Raise where the key does not open that model now.

        Raises:
            RequestError: 401 (the key is not good any more) or 404 (not this model).
        """
        if self.revoked.is_set() or self.key.is_expired(_now()):
            raise _wrong_key()
        if not self.key.allows(model_id):
            raise no_such_model(model_id)

    def take_text(self) -> None:
        """Count a text that is rendered for the client.

        Raises:
            RequestError: 429, it has had all its requests of the minute.
        """
        error = self.allowance.take_text(trio.current_time())
        if error is not None:
            raise RequestError(error)

    def limits(self) -> dict[str, str]:
        """Headers that say what is left."""
        return self.allowance.headers(trio.current_time())


# Who calls where no keys are asked for; no key of a file has such an id.
_ANYONE = ClientKey(id="", sha256=b"", metrics=True)


class Clients:
    """All clients.

    ``keys``: those that are good; None: no keys are asked for. *shared*: where their limits are shared.
    """

    def __init__(self, keys: Sequence[ClientKey] | None, shared: SharedState | None = None) -> None:
        self._shared = shared
        self._clients: dict[str, Client] = {}
        self.configure(keys)

    def configure(self, keys: Sequence[ClientKey] | None) -> None:
        """Go on with other keys. Who still has a key keeps what it has used; the others are revoked."""
        old = self._clients
        self._clients = {key.id: self._kept(key) for key in ((_ANYONE,) if keys is None else keys)}
        for name, client in old.items():
            if client is not self._clients.get(name):
                client.revoked.set()

    def identify(self, shown: str | None) -> Client:
        """Who shows that key; None: no key.

        Raises:
            RequestError: the key is not known, or has ended.
        """
        key: ClientKey | None = None
        if _ANYONE.id in self._clients:
            key = _ANYONE
        elif shown is not None:
            key = find_key([client.key for client in self._clients.values()], shown, _now())
        if key is None:
            raise _wrong_key()
        return self._clients[key.id]

    def _kept(self, key: ClientKey) -> Client:
        client = self._clients.get(key.id)
        if client is None or client.key.sha256 != key.sha256:  # the same name for another key
            return Client(key, self._shared)
        client.change(key)
        return client


def _now() -> datetime:
    return datetime.now(UTC)
