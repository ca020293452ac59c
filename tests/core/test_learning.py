"""What finished answers teach of where a model's text begins, and for whom it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, GENERIC_MARKERS, family_of
from trio_gateway.core.upstream_api.learning import (
    Start,
    StartEvidence,
    StartMemory,
    StartQuery,
    may_learn_start,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

ORPHAN = StartEvidence(orphan=True, stopped=True)
CUT = StartEvidence(orphan=True)
BARE = StartEvidence(stopped=True)
STRUCTURED = StartEvidence(structured=True, stopped=True)
ASSUMED = StartEvidence(assumed=True, stopped=True)
PROMOTED = StartEvidence(assumed=True, promoted=True, stopped=True)

OPEN = StartQuery(upstream="http://a", model="m", asked="m", declared=False, learnable=True, digest=b"")
DECLARED = replace(OPEN, declared=True)
UNKNOWN = replace(OPEN, learnable=False)
Seen = list[tuple[StartQuery, StartEvidence]]


def answers(query: StartQuery, *evidence: StartEvidence) -> Seen:
    """Answers to requests with a body each."""
    return [
        (replace(query, digest=query.digest if query.digest is None else bytes([number])), each)
        for number, each in enumerate(evidence)
    ]


def same(query: StartQuery, *evidence: StartEvidence) -> Seen:
    """Answers to one request, sent again and again."""
    return [(query, each) for each in evidence]


def special(query: StartQuery, *evidence: StartEvidence) -> Seen:
    """Answers to requests that are not plain."""
    return [(replace(query, digest=None), each) for each in evidence]


def memory_of(seen: Iterable[tuple[StartQuery, StartEvidence]], *, enabled: bool = True) -> StartMemory:
    memory = StartMemory(enabled=enabled)
    known = None
    for query, evidence in seen:
        changed = memory.note(query, evidence)
        assert changed == (memory.starts("http://a", "m") is not known)
        known = memory.starts("http://a", "m")
    return memory


THREE = answers(OPEN, ORPHAN, ORPHAN, ORPHAN)


@pytest.mark.parametrize(
    ("seen", "starts"),
    [
        ([], None),
        # three in a row, to different bodies, that finished with stop
        (THREE[:2], None),
        (THREE, True),
        (answers(OPEN, ORPHAN, ORPHAN, BARE, ORPHAN, ORPHAN), None),
        (answers(OPEN, ORPHAN, ORPHAN, CUT, ORPHAN, ORPHAN), None),
        (answers(OPEN, ORPHAN, ORPHAN, CUT, ORPHAN, ORPHAN, ORPHAN), True),
        (answers(OPEN, CUT, CUT, CUT), None),
        (answers(OPEN, STRUCTURED, STRUCTURED, STRUCTURED), None),
        (same(OPEN, ORPHAN, ORPHAN, ORPHAN, ORPHAN), None),
        ([*same(OPEN, ORPHAN, ORPHAN), *THREE[1:2], *same(OPEN, ORPHAN), *THREE[2:]], True),
        # plain requests only, and never a model whose markers are not known
        (special(OPEN, ORPHAN, ORPHAN, ORPHAN), None),
        ([*THREE[:2], *special(OPEN, ORPHAN, BARE), *THREE[2:]], True),
        (answers(UNKNOWN, ORPHAN, ORPHAN, ORPHAN, ORPHAN), None),
        # one plain answer without the marker takes it back
        ([*THREE, *answers(OPEN, ORPHAN)], True),
        ([*THREE, *answers(OPEN, BARE)], None),
        ([*THREE, *answers(OPEN, StartEvidence())], None),
        ([*THREE, *answers(OPEN, STRUCTURED)], None),
        ([*THREE, *answers(OPEN, CUT)], True),
        ([*THREE, *special(OPEN, BARE, STRUCTURED)], True),
        ([*THREE, *answers(OPEN, BARE), *THREE[:2]], None),
        ([*THREE, *answers(OPEN, BARE), *THREE], True),
        # a declared start: nothing that an answer lacks speaks against it
        (answers(DECLARED, *[PROMOTED] * 9), None),
        (answers(DECLARED, *[ASSUMED] * 9), None),
        (special(DECLARED, *[STRUCTURED] * 9), None),
        (answers(DECLARED, STRUCTURED), False),
        (answers(DECLARED, replace(STRUCTURED, assumed=True)), False),
        # and once a structured field spoke against it, it is learned as any other
        ([*answers(DECLARED, STRUCTURED), *answers(DECLARED, BARE, BARE, BARE)], False),
        ([*answers(DECLARED, STRUCTURED), *answers(DECLARED, ORPHAN, ORPHAN, ORPHAN)], True),
        ([*answers(DECLARED, STRUCTURED, ORPHAN, ORPHAN, ORPHAN), *answers(DECLARED, BARE)], False),
        (answers(DECLARED, STRUCTURED, ORPHAN, ORPHAN, ORPHAN, STRUCTURED), False),
        (answers(DECLARED, STRUCTURED, ORPHAN, ORPHAN, ORPHAN, ASSUMED, PROMOTED), True),
    ],
)
def test_what_is_learned(seen: Seen, starts: bool | None) -> None:
    assert memory_of(seen).starts("http://a", "m") is starts
    switched_off = StartMemory(enabled=False)
    assert [switched_off.note(*each) for each in seen] == [False] * len(seen)
    assert switched_off.starts("http://a", "m") is None


@pytest.mark.parametrize(
    ("seen", "query", "start"),
    [
        ([], OPEN, Start.OUTPUT),
        ([], DECLARED, Start.REASONING),
        (THREE, OPEN, Start.PRESUMED),
        (THREE, DECLARED, Start.REASONING),
        (answers(DECLARED, STRUCTURED), DECLARED, Start.OUTPUT),
        (answers(DECLARED, STRUCTURED), OPEN, Start.OUTPUT),
        # a model that goes by other names as well: nothing is presumed of one that is not known
        (THREE, UNKNOWN, Start.OUTPUT),
        # requests that are not plain
        (THREE, replace(OPEN, digest=None), Start.OUTPUT),
        (answers(DECLARED, STRUCTURED), replace(DECLARED, digest=None), Start.REASONING),
    ],
)
def test_for_whom_it_counts(seen: Seen, query: StartQuery, start: Start) -> None:
    assert memory_of(seen).start(query) is start


def test_upstreams_and_models_are_apart() -> None:
    memory = memory_of(THREE)
    keys = [("http://a", "m"), ("http://a", "n"), ("http://b", "m")]
    assert [memory.starts(*key) for key in keys] == [True, None, None]


def test_the_memory_is_bounded_and_forgets_what_was_noted_longest_ago() -> None:
    memory = StartMemory()
    for number in range(1025):
        for query, evidence in answers(replace(OPEN, model=f"m{number}"), ORPHAN, ORPHAN, ORPHAN):
            memory.note(query, evidence)
        memory.note(replace(OPEN, model="m0"), ORPHAN)
    known = [memory.starts("http://a", f"m{number}") for number in (0, 1, 2, 1024)]
    assert known == [True, None, True, True]


def test_answers_that_teach_nothing_push_nothing_out() -> None:
    memory = memory_of(THREE)
    for number in range(2000):
        memory.note(replace(OPEN, model=f"other{number}"), BARE)
    assert memory.starts("http://a", "m") is True


@pytest.mark.parametrize(
    ("name", "model", "learnable"),
    [
        ("qwen3:8b", family_of("qwen3:8b"), True),
        ("gpt-4o", family_of("gpt-4o"), False),
        ("gpt-oss", family_of("gpt-oss"), False),  # its markers are tokens of the format
        ("default", DEFAULT_MODELS["default"], False),
        ("default", DEFAULT_MODELS["qwen3"], False),
        ("x", DEFAULT_MODELS["default"], False),
        ("x", ModelConfig(markers=(("[a]", "[/a]"),)), True),
        ("x", ModelConfig(markers=GENERIC_MARKERS), False),
        ("x", ModelConfig(family="qwen3"), False),
    ],
)
def test_which_models_may_be_learned(name: str, model: ModelConfig, learnable: bool) -> None:
    assert may_learn_start(name, model) is learnable


OPENS = "model m opens its reasoning itself; set starts_in_reasoning = true"
NEVER = "model m ended without closing its reasoning; if it opens none, set starts_in_reasoning = false"


@pytest.mark.parametrize(
    ("query", "evidence", "hint"),
    [
        (UNKNOWN, ORPHAN, OPENS),
        (UNKNOWN, CUT, OPENS),
        (replace(UNKNOWN, digest=None), ORPHAN, OPENS),
        (replace(OPEN, digest=None), ORPHAN, OPENS),
        (OPEN, ORPHAN, None),  # it teaches
        (replace(UNKNOWN, digest=None, continued=True), ORPHAN, None),  # the client opened the block
        (UNKNOWN, BARE, None),
        (DECLARED, PROMOTED, NEVER),
        (replace(DECLARED, digest=None), PROMOTED, NEVER),
        (OPEN, StartEvidence(promoted=True), None),  # the model wrote a start marker
    ],
)
def test_hints(query: StartQuery, evidence: StartEvidence, hint: str | None) -> None:
    memory = StartMemory()
    assert [memory.hint(query, evidence) for _ in range(3)] == [hint, None, None]
    other = memory.hint(replace(query, model="n"), evidence)
    assert (other is None) is (hint is None)


def test_where_nothing_is_learned_each_model_is_hinted_at() -> None:
    memory = StartMemory(enabled=False)
    assert memory.hint(OPEN, ORPHAN) == OPENS


@pytest.mark.parametrize(
    ("query", "evidence", "setting"), [(UNKNOWN, ORPHAN, True), (DECLARED, PROMOTED, False)]
)
def test_advice_stands_until_it_is_followed(
    query: StartQuery, evidence: StartEvidence, setting: bool
) -> None:
    memory = StartMemory()
    assert memory.advice(query.upstream, query.model, declared=not setting) is None
    hint = memory.hint(query, evidence)
    assert hint is not None
    for declared in (not setting, "when_thinking"):
        advice = memory.advice(query.upstream, query.model, declared=declared)
        assert hint == f"model {query.asked} {advice}"
    assert memory.advice(query.upstream, query.model, declared=setting) is None
    assert memory.advice(query.upstream, "another", declared=not setting) is None


def test_hints_are_bounded() -> None:
    memory = StartMemory()
    hints = [memory.hint(replace(UNKNOWN, model=f"m{number}"), ORPHAN) for number in range(1025)]
    assert None not in hints
    assert memory.hint(replace(UNKNOWN, model="m1024"), ORPHAN) is None
    assert memory.hint(replace(UNKNOWN, model="m0"), ORPHAN) is not None
