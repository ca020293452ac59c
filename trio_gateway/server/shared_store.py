"""Shared store: where the settings say that limits and breakers are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.config import ConfigError

if TYPE_CHECKING:
    from ..core.config.settings import Settings
    from ..engine.shared_state import SharedStore

__all__ = ["shared_store"]


def shared_store(settings: Settings) -> SharedStore | None:
    """The store of several gateways; None: each is alone, and its workers share through their parent.

    Raises:
        ConfigError: ``REDIS_URL`` is set, and what it needs is not installed.
    """
    if settings.redis_url is None:
        return None
    try:
        from ..engine.redis_state import RedisStore
    except ModuleNotFoundError as error:
        needed = "the package coredis: pip install 'trio-gateway[redis]'"
        raise ConfigError("REDIS_URL", "", needed, f"no module {error.name}") from None
    return RedisStore(settings.redis_url)
