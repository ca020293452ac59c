"""Asking memory: remembers which additions of the gateway an upstream refuses.

Clients do not know of these additions, so a refusal of one must not become theirs: the upstream is asked once
more without it, and what was learned is kept once an answer has come.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from ..config.families import family_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import ModelConfig
    from .chunks import InbandError

__all__ = ["Added", "Asking", "AskingMemory", "asking_of", "asking_otherwise"]

_MOST: Final = 1024
"""Upstreams' models remembered; the least recently noted is forgotten first."""

_DEMANDING: Final = ("deepseek-v", "kimi-k", "mimo")
"""Beginnings of the names of families whose makers' APIs demand ``reasoning_content`` beside tool calls."""

_REFUSALS: Final = frozenset({400, 406, 415, 422, 501})
"""Statuses of a request that is not taken as it is."""


class Asking(Struct, frozen=True):
    """How one upstream is asked for one model."""

    usage: bool = True
    """``stream_options`` may be added, for token counts."""
    stream: bool = True
    """The answer may be streamed although the client wants it whole."""
    switch: bool = True
    """An effort of none may become an argument of the chat template."""
    fill_reasoning: bool = False
    """Tool calls of earlier answers get an empty ``reasoning_content`` where they have none."""


class Added(Struct, frozen=True):
    """What of a request that was sent is an addition of the gateway's."""

    usage: bool = False
    stream: bool = False
    switch: bool = False
    lacks_reasoning: bool = False
    """Tool calls of earlier answers came without ``reasoning_content``."""


# The name of each addition in a refusal, whether the request has it, and the request without it. The word
# "stream" counts by itself alone: it is the beginning of many others.
_CONCESSIONS: Final[
    tuple[tuple[re.Pattern[str], Callable[[Added], bool], Callable[[Asking], Asking]], ...]
] = (
    (
        re.compile(r"stream_options|include_usage"),
        lambda added: added.usage,
        lambda asking: replace(asking, usage=False),
    ),
    (
        re.compile(r"(?<![\w.-])stream(?:ing|ed)?(?![\w-])"),
        lambda added: added.stream,
        lambda asking: replace(asking, stream=False),
    ),
    (
        re.compile(r"chat_template_kwargs"),
        lambda added: added.switch,
        lambda asking: replace(asking, switch=False),
    ),
    (
        re.compile(r"reasoning_content"),
        lambda added: added.lacks_reasoning,
        lambda asking: replace(asking, fill_reasoning=not asking.fill_reasoning),
    ),
)


def asking_of(model: ModelConfig, upstream_model: str) -> Asking:
    """How an upstream is asked for *upstream_model*, which *model* describes, before anything was learned."""
    families = (model.family, family_of(upstream_model).family)
    return Asking(fill_reasoning=any(family.startswith(_DEMANDING) for family in families))


def asking_otherwise(asking: Asking, added: Added, told: InbandError) -> Asking | None:
    """How to ask once more after a refusal; None: it names nothing that the gateway has *added*."""
    if told.status not in _REFUSALS:
        return None
    words = f"{told.param} {told.code} {told.message}".lower()
    otherwise = asking
    for name, has, without in _CONCESSIONS:
        if has(added) and name.search(words):
            otherwise = without(otherwise)
    return None if otherwise == asking else otherwise


class AskingMemory:
    """What upstreams were found to take, by their URL and model."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Asking] = OrderedDict()

    def get(self, upstream: str, model: str) -> Asking | None:
        """How that upstream is asked for that model; None: nothing was learned."""
        return self._known.get((upstream, model))

    def note(self, upstream: str, model: str, asking: Asking) -> None:
        """An answer has come to a request that was made so."""
        self._known[upstream, model] = asking
        self._known.move_to_end((upstream, model))
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
