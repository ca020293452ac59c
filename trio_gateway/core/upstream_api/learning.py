"""Memory of which models begin their text inside reasoning, taught by finished answers alone.

Whether a chat template opens the reasoning block is a matter of a server's set-up, which no model id shows.
Answers show it, but what an answer holds is chosen by the client that asked for it: a stop word, a prefill or
a question about ``</think>`` is enough. So the memory trusts little:

- Only plain requests (see :func:`.parse_chat_request`) teach and use it. For any other
  request the declared start holds, that of the family or the configuration.
- A declared start is never unlearned from what an answer lacks. The one evidence against it is reasoning in
  a structured field.
- That a model starts in reasoning is learned for models whose markers a family or an entry names, never for
  ``default`` or an unknown id: from :data:`ENOUGH` answers in a row, to different bodies, each with an orphan
  end marker between two texts. One plain answer without such a marker takes it back.
- A learned start is a presumption (:attr:`Start.PRESUMED`): text is reasoning while it streams, and becomes
  output unless an end marker follows where it would have counted without the presumption. So the answer in
  the end is the one that a gateway without memory gives, or gives to ``"stream": false``.

What a client can still change for others, by plain requests whose answers it crafts:

- It can bring a model with known markers to be presumed. Until the next plain answer without such a marker
  (any client's), answers of that model to plain requests come at their end, with all their text; before
  that, clients see lines of a reasoning summary made of them, or the text as raw reasoning that is retracted.
  An answer that itself holds an orphan end marker is split there instead of losing the marker.
- It can take a presumption back, or push it out of the bounded memory. That is the state of a fresh gateway.
- An upstream of mixed servers, where some send a structured field and some do not, unlearns a declared start
  while the others need it. A client cannot cause this; ``learn_start = false`` prevents it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from msgspec import Struct

from ..config.families import GENERIC_MARKERS, HEAD_MARKERS

if TYPE_CHECKING:
    from ..config import ModelConfig

__all__ = ["ENOUGH", "Start", "StartEvidence", "StartMemory", "StartQuery", "may_learn_start"]

K = TypeVar("K")
V = TypeVar("V")

ENOUGH: Final = 3
"""Answers in a row that teach that a model starts in reasoning."""
_MOST: Final = 1024
"""Models remembered, and hints given; the least recently noted is forgotten first."""


_ADVICE: Final = {
    True: "opens its reasoning itself; set starts_in_reasoning = true",
    False: "ended without closing its reasoning; if it opens none, set starts_in_reasoning = false",
}
"""What is advised, by the setting that is advised."""


class Start(Enum):
    """Where the text of an answer begins."""

    OUTPUT = auto()
    REASONING = auto()
    """Inside reasoning: a family or the configuration declare it."""
    PRESUMED = auto()
    """Inside reasoning, as other answers have shown; output all the same where no end marker follows."""


class StartQuery(Struct, frozen=True, kw_only=True):
    """One request to one model, as far as the start of its answer is concerned."""

    upstream: str
    """Base URL of the upstream: under another URL the same name is another server."""
    model: str
    """The model's name on that upstream."""
    asked: str
    """The id that the client asked for: the name of the configuration's entry, if there is one."""
    declared: bool
    """A family or the configuration declare that the answer to this request begins inside reasoning."""
    learnable: bool
    """See :func:`may_learn_start`."""
    continued: bool = False
    """The last message is the assistant's: the answer may go on with a block that the client opened."""
    digest: bytes | None = None
    """Digest of the body of a plain request; None: the request is not plain."""


class StartEvidence(Struct, frozen=True, kw_only=True):
    """What one finished answer shows of its start."""

    assumed: bool = False
    """It was read as beginning inside reasoning (:attr:`Start.REASONING`)."""
    orphan: bool = False
    """An end marker that no start preceded stood alone on its line, outside code, between two texts."""
    stopped: bool = False
    """Every choice finished with ``stop``."""
    structured: bool = False
    """Reasoning came in a field of its own."""
    promoted: bool = False
    """A block never ended, so what was taken for reasoning became the answer."""


@dataclass(slots=True)
class _Facts:
    """What is known of one model on one upstream."""

    structured: bool = False  # against a declared start
    opens: bool = False
    row: tuple[bytes, ...] = ()  # digests of the bodies whose answers, in a row, had an orphan end marker

    @property
    def starts(self) -> bool | None:
        return True if self.opens else False if self.structured else None

    def add(self, query: StartQuery, digest: bytes, evidence: StartEvidence) -> None:
        if query.declared and evidence.structured:
            self.structured, self.opens, self.row = True, False, ()
        elif evidence.assumed or not query.learnable:
            pass  # a missing end marker proves nothing, and no orphan can be seen
        elif not evidence.orphan:
            self.opens, self.row = False, ()
        elif not evidence.stopped:
            self.row = ()
        elif digest not in self.row:
            self.row = (*self.row, digest)[-ENOUGH:]
            self.opens = self.opens or len(self.row) == ENOUGH


class StartMemory:
    """Remembers, for each upstream and model, whether its text begins inside reasoning.

    Not *enabled* (``learn_start = false``) it learns nothing; hints are given all the same.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._facts: OrderedDict[tuple[str, str], _Facts] = OrderedDict()
        self._hinted: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def starts(self, upstream: str, model: str) -> bool | None:
        """What was learned of *model* on *upstream*; None: nothing."""
        facts = self._facts.get((upstream, model))
        return None if facts is None else facts.starts

    def start(self, query: StartQuery) -> Start:
        """Where the answer to a request is to be taken to begin."""
        learned = None if query.digest is None else self.starts(query.upstream, query.model)
        if query.declared:
            return Start.OUTPUT if learned is False else Start.REASONING
        return Start.PRESUMED if learned and query.learnable else Start.OUTPUT

    def note(self, query: StartQuery, evidence: StartEvidence) -> bool:
        """Take a finished answer's evidence; true when it has changed what is known."""
        if not self.enabled or query.digest is None:
            return False
        key = (query.upstream, query.model)
        facts = self._facts.pop(key, None) or _Facts()
        before = facts.starts
        facts.add(query, query.digest, evidence)
        if facts != _Facts():
            _keep(self._facts, key, facts)
        return facts.starts is not before

    def hint(self, query: StartQuery, evidence: StartEvidence) -> str | None:
        """What the log should advise after an answer that cannot teach; once for each model and advice."""
        if evidence.promoted and evidence.assumed:
            advice = _ADVICE[False]
        elif evidence.orphan and not query.continued and not self._teaches(query):
            advice = _ADVICE[True]
        else:
            return None
        key = (query.upstream, query.model, advice)
        if key in self._hinted:
            return None
        _keep(self._hinted, key, None)
        return f"model {query.asked} {advice}"

    def advice(self, upstream: str, model: str, *, declared: bool | Literal["when_thinking"]) -> str | None:
        """The advice that was given about *model* on *upstream*, unless what is *declared* follows it."""
        for setting, advice in _ADVICE.items():
            if setting is not declared and (upstream, model, advice) in self._hinted:
                return advice
        return None

    def _teaches(self, query: StartQuery) -> bool:
        return self.enabled and query.learnable and query.digest is not None


def may_learn_start(model_id: str, model: ModelConfig) -> bool:
    """Whether a family, or the configuration's entry, names the markers of the model asked for as *model_id*.

    >>> from trio_gateway.core.config.families import family_of
    >>> [may_learn_start(name, family_of(name)) for name in ("qwen3:8b", "gpt-4o", "default")]
    [True, False, False]
    """
    if model_id == "default" or not model.markers or model.dialect == "harmony":
        return False
    return model.family not in ("", "default") or model.markers not in (GENERIC_MARKERS, HEAD_MARKERS)


def _keep(entries: OrderedDict[K, V], key: K, value: V) -> None:
    """Put an entry last, and forget the first one where there are too many."""
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > _MOST:
        entries.popitem(last=False)
