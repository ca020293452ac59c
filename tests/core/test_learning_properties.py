"""What one client's answers can and cannot change for another client, whatever they hold and in any order."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, family_of
from trio_gateway.core.events import Event, OutputDelta, Retraction
from trio_gateway.core.reasoning import starts_in_reasoning
from trio_gateway.core.upstream_api.answer_reader import AnswerReader
from trio_gateway.core.upstream_api.chunks import ChoiceDelta, Chunk
from trio_gateway.core.upstream_api.learning import Start, StartMemory, StartQuery, may_learn_start

MODELS = {
    **DEFAULT_MODELS,
    "gpt-4o": family_of("gpt-4o"),
    "configured": ModelConfig(markers=(("[think]", "[/think]"), ("<think>", "</think>"))),
    "declared": ModelConfig(markers=(("[think]", "[/think]"),), starts_in_reasoning=True),
    "wrapped": replace(family_of("granite-3.3"), prose_starts=("Let me think",), prose_ends=("So,",)),
}
# One of each kind stands alone, as each needs examples of its own; the last draws any.
KINDS = ("deepseek-r1", "declared", "qwen3", "configured", "magistral", "wrapped", "default", "gpt-4o", "any")
FINISH = st.sampled_from(["stop", "stop", "stop", "length", "tool_calls", None])
# Each stands once in an answer, so that it can be followed.
WORDS = [f"w{number}w" for number in range(12)]
MOSTLY = st.sampled_from([True, True, False])


class Answer(NamedTuple):
    """An upstream's answer to one request."""

    plain: bool
    body: int
    parts: list[str]
    finish: str | None
    structured: bool = False


@st.composite
def texts(draw: st.DrawFn, model: ModelConfig) -> list[str]:
    """A text in parts: words, the model's markers and others' on lines of their own or not, code."""
    markers = [text for pair in (*model.markers, *model.wrappers) for text in pair if text]
    markers += [*model.tool_markers, *model.prose_starts, *model.prose_ends, "<think>", "</think>"]
    marker = st.sampled_from(markers)
    fragment = st.one_of(
        marker,
        marker.map("\n{}\n".format),
        st.sampled_from(["\n", "\n\n", " ", "`", "\n```\n", "<", "</"]),
    )
    parts: list[str] = []
    for word in draw(st.lists(st.sampled_from(WORDS), unique=True, max_size=5)):
        parts += [*draw(st.lists(fragment, max_size=2)), f" {word} "]
    return parts + draw(st.lists(fragment, max_size=2))


@st.composite
def answers(draw: st.DrawFn, model: ModelConfig) -> Answer:
    """Any answer to any request; or, as likely, one with an end marker between two texts."""
    plain, body = draw(st.booleans()), draw(st.integers(0, 9))
    # Reasoning in a structured field, in an answer to a plain request, is the one evidence against a
    # declared start.
    structured = draw(st.booleans()) and not (plain and starts_in_reasoning(model, thinking=None))
    around = draw(st.sampled_from(["\n", " ", ""]))
    usual = ["w1w", around, _end(model), around, "w2w"]
    return Answer(plain, body, draw(st.just(usual) | texts(model)), draw(FINISH), structured)


@st.composite
def lessons(draw: st.DrawFn, model: ModelConfig) -> list[Answer]:
    """Client A's answers, among them often a row of those that would teach something."""
    start = (*model.markers, ("<think>", ""))[0][0]
    teaching, silent = ["a\n", _end(model), "\nb"], ["a"]
    alike = [teaching, teaching, silent, ["a ", _end(model), " b"], [start, "a"], ["a\n", start, "b"]]
    parts, plain, other_bodies = draw(st.sampled_from(alike)), draw(MOSTLY), draw(MOSTLY)
    row = [Answer(plain, number * other_bodies, parts, "stop") for number in range(draw(st.integers(2, 4)))]
    others: st.SearchStrategy[list[Answer]] = st.just([]) | st.lists(answers(model), max_size=4)
    return [*draw(others), *row, *draw(others)]


def _end(model: ModelConfig) -> str:
    return (*model.markers, ("", "</think>"))[0][1]


class Gateway:
    """What of the gateway takes part in learning: the decision, the reading, the note."""

    def __init__(self, name: str, *, enabled: bool = True) -> None:
        self.memory = StartMemory(enabled=enabled)
        self._name, self._model = name, MODELS[name]

    def play(self, answer: Answer, *, whole: bool = False) -> list[list[Event]]:
        """The events of each part of an answer, and of its end."""
        query = StartQuery(
            upstream="http://a",
            model=self._name,
            asked=self._name,
            declared=starts_in_reasoning(self._model, thinking=None),
            learnable=may_learn_start(self._name, self._model),
            digest=bytes([answer.body]) if answer.plain else None,
        )
        start = self.memory.start(query)
        reader = AnswerReader(
            self._model,
            starts_in_reasoning=start is Start.REASONING,
            presumed=start is Start.PRESUMED,
            whole=whole,
        )
        events = [reader.read(chunk) for chunk in _chunks(answer)]
        events.append(reader.end())
        self.memory.note(query, reader.evidence)
        return events


def _chunks(answer: Answer) -> list[Chunk]:
    deltas: list[dict[str, Any]] = [{"reasoning": "r"}] * answer.structured
    deltas += [{"text": part} for part in answer.parts] + [{"finish_reason": answer.finish}]
    return [Chunk([ChoiceDelta(index=0, **delta)]) for delta in deltas]


def name_of(kind: str, data: st.DataObject) -> str:
    return data.draw(st.sampled_from(sorted(MODELS))) if kind == "any" else kind


def shown(events: list[list[Event]]) -> list[set[str]]:
    """The words that were output after each part."""
    text, words = "", []
    for part in events:
        text += "".join(event.text for event in part if isinstance(event, OutputDelta))
        words.append(set(re.findall(r"w\d+w", text)))
    return words


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_nothing_leaves_as_output_that_a_fresh_gateway_would_hold_back(
    data: st.DataObject, kind: str
) -> None:
    """Neither in the end nor earlier: of a declared start nothing that is reasoning is ever shown."""
    name = name_of(kind, data)
    gateway = Gateway(name)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
    answer = data.draw(answers(MODELS[name]))
    now, fresh = shown(gateway.play(answer)), shown(Gateway(name).play(answer))
    assert all(each <= other for each, other in zip(now, fresh, strict=True)), (now, fresh)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_in_the_end_no_answer_is_lost(data: st.DataObject, kind: str) -> None:
    """Another client's answer has the text in the end that a fresh gateway gives, streamed or in one piece."""
    name = name_of(kind, data)
    gateway = Gateway(name)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
    answer = data.draw(answers(MODELS[name]))
    fresh = [shown(Gateway(name).play(answer, whole=whole))[-1] for whole in (False, True)]
    assert shown(gateway.play(answer))[-1] in fresh


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_cannot_be_learned_changes_nothing_at_all(data: st.DataObject, kind: str) -> None:
    """For an unknown model, ``default`` and requests that are not plain every event is the same."""
    name = name_of(kind, data)
    gateway = Gateway(name)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
    answer = data.draw(answers(MODELS[name]))
    if may_learn_start(name, MODELS[name]):
        answer = answer._replace(plain=False)
    assert gateway.play(answer) == Gateway(name).play(answer)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_declared_start_stays_whatever_answers_lack(data: st.DataObject, kind: str) -> None:
    name = name_of(kind, data)
    gateway = Gateway(name)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
    if starts_in_reasoning(MODELS[name], thinking=None):
        assert gateway.memory.starts("http://a", name) is not False


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_one_plain_answer_takes_a_presumption_back(data: st.DataObject, kind: str) -> None:
    """After another client's first answer without an end marker the next one streams as ever."""
    name = name_of(kind, data)
    gateway = Gateway(name)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
    plain = Answer(True, 99, ["w1w ", "w2w"], "stop")
    assert shown(gateway.play(plain))[-1] == {"w1w", "w2w"}
    assert gateway.play(plain) == Gateway(name).play(plain)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_with_learning_switched_off_nothing_is_changed(data: st.DataObject, kind: str) -> None:
    name = name_of(kind, data)
    gateway = Gateway(name, enabled=False)
    for lesson in data.draw(lessons(MODELS[name])):
        gateway.play(lesson)
        gateway.play(lesson._replace(plain=True, structured=True))
    answer = data.draw(answers(MODELS[name]))
    assert gateway.play(answer) == Gateway(name).play(answer)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_properties_reach_learned_starts(name: str) -> None:
    """What the properties rest on: the row of answers that they draw does teach a start, where one may."""
    gateway = Gateway(name)
    _, end = (*MODELS[name].markers, ("", "</think>"))[0]
    for number in range(3):
        gateway.play(Answer(True, number, ["a\n", end, "\nb"], "stop"))
    declared = starts_in_reasoning(MODELS[name], thinking=None)
    prose = end[0].isalpha()  # the end is no marker of its own, but a sentence
    teaches = may_learn_start(name, MODELS[name]) and not declared and not prose
    assert gateway.memory.starts("http://a", name) is (True if teaches else None)
    held = gateway.play(Answer(True, 9, ["w1w ", "w2w"], "stop"))
    assert bool(shown(held)[0]) is not (teaches or declared)
    retracted = any(isinstance(event, Retraction) for events in held for event in events)
    assert retracted is (teaches or declared)
