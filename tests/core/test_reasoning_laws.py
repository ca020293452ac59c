"""The laws of the splitter, for texts built of what is likely to hurt, for every family and every way of cutting."""

from __future__ import annotations

import re
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.core.splitting import account_of, pieces_of, splitter_for
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, HEAD_MARKERS, declares_markers, family_of
from trio_gateway.core.reasoning import Output, Piece, Reasoning, Reclassified, ToolCall, codespans, nesting
from trio_gateway.core.reasoning.prose import CUES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

BLANKS = 64
MODELS = {
    **DEFAULT_MODELS,
    "unknown": family_of("unknown"),
    "none": ModelConfig(),
    "everything": replace(
        DEFAULT_MODELS["default"],
        markers=(*DEFAULT_MODELS["default"].markers, ("[[", "]]"), ("[", "]"), ("Steps:", "Result:")),
        wrappers=(("<answer>", "</answer>"), ("", "[END]")),
        tool_markers=("<tool_call>",),
        label="thought\n",
        prose_hold=30,
    ),
    "at-once": replace(DEFAULT_MODELS["default"], prose_hold=0),
}
MODELS |= {
    f"{name}-started": replace(MODELS[name], starts_in_reasoning=True) for name in ("everything", "qwen3")
}
NAMES = st.sampled_from(sorted(MODELS))

WORDS = ("a", "b c", ".", ": ", "? ", ", ", "*", "**", "<", "</", "[", "]", "<|", "|>", "x>", "'", "’", "é🙂")
SPACE = (" ", "\n", "\n\n", "\t", "\r\n", "\ufeff", "\u3000", " " * 40, "\n" * 70)
CODE = ("`", "``", "```", "\n```\n", "\n```py\n", "\n~~~\n", "`a`")
HARMONY = (
    *(
        "<|start|>",
        "assistant",
        "<|channel|>",
        "analysis",
        "final",
        "<|message|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
    ),
    *("<|channel|>analysis<|message|>", "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"),
)


def markers_of(model: ModelConfig) -> list[str]:
    pairs = (*model.markers, *model.wrappers, *(() if declares_markers(model) else HEAD_MARKERS))
    return [
        text
        for text in (*(text for pair in pairs for text in pair), *model.tool_markers, model.label)
        if text
    ]


@st.composite
def texts(draw: st.DrawFn, model: ModelConfig) -> str:
    """Markers whole, cut short, altered, each with what may stand around it."""
    markers = [*markers_of(model), *model.prose_starts, *model.prose_ends, *CUES[:3]]
    markers += HARMONY if model.dialect == "harmony" else ("<think>", "</think>")
    marker = st.sampled_from(markers)
    fragment = st.one_of(
        marker,
        marker,
        st.builds(lambda text, size: text[:size], marker, st.integers(1, 12)),
        st.builds(lambda text: text.upper(), marker),
        st.builds(lambda text: text.replace(">", " x='y'>"), marker),
        st.sampled_from(WORDS),
        st.sampled_from(SPACE),
        st.sampled_from(CODE),
        st.sampled_from([". ", "\n", " "]),
    )
    return "".join(draw(st.lists(fragment, max_size=14)))


@st.composite
def parts_of(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


FINISH = st.sampled_from(["stop", "length", None])


def calls_of(pieces: list[Piece]) -> list[tuple[int, str]]:
    calls = [piece for piece in pieces if isinstance(piece, ToolCall)]
    grouped = [(index, list(group)) for index, group in groupby(calls, lambda call: call.index)]
    assert all(call.name is None for _, group in grouped for call in group[1:])
    return [
        (index, f"{group[0].name}: {''.join(call.arguments for call in group)}") for index, group in grouped
    ]


@given(st.data(), NAMES, FINISH, st.booleans())
def test_l1_cutting_never_matters(data: st.DataObject, name: str, finish: str | None, whole: bool) -> None:
    model = MODELS[name]
    text = data.draw(texts(model))
    parts = data.draw(parts_of(text))
    expected = pieces_of(model, text, finish=finish, whole=whole)
    for cut in (parts, list(text)):
        pieces = pieces_of(model, *cut, finish=finish, whole=whole)
        assert account_of(pieces) == account_of(expected)
        assert calls_of(pieces) == calls_of(expected)


@given(st.data(), NAMES, st.booleans())
def test_l1_beside_structured_reasoning_and_tool_calls(
    data: st.DataObject, name: str, structured: bool
) -> None:
    """What comes beside the text comes at one place of it."""
    model = MODELS[name]
    before, after = data.draw(texts(model)), data.draw(texts(model))

    def account(parts: Iterable[str], later: Iterable[str]) -> tuple[str, str]:
        splitter = splitter_for(model)
        pieces = [piece for part in parts for piece in splitter.feed(part)]
        pieces += splitter.structured() if structured else splitter.end_reasoning()
        pieces += [piece for part in later for piece in splitter.feed(part)]
        pieces += splitter.finish("stop")
        return account_of(pieces)

    whole = account([before], [after])
    assert account(before, after) == whole
    assert account(data.draw(parts_of(before)), data.draw(parts_of(after))) == whole


@given(st.data(), NAMES)
def test_beside_structured_reasoning_the_answer_quotes_what_it_likes(data: st.DataObject, name: str) -> None:
    splitter, text = splitter_for(MODELS[name]), data.draw(texts(MODELS[name]))
    splitter.structured()
    assert splitter.feed("x") == [Output("x")]
    pieces = [piece for part in data.draw(parts_of(text)) for piece in splitter.feed(part)]
    assert account_of([*pieces, *splitter.finish("stop")]) == ("", text)


@given(st.data(), NAMES, FINISH)
def test_ends_too_many_behind_a_block_change_nothing(
    data: st.DataObject, name: str, finish: str | None
) -> None:
    """Whatever the answer holds then, ends in its text too."""
    model = MODELS[name]
    pairs = [(start, end) for start, end in model.markers if start and end and not end[0].isalpha()]
    if not pairs or model.dialect == "harmony":
        return
    start, end = data.draw(st.sampled_from(pairs))
    answer = "b" + data.draw(texts(model))
    extra = "".join(data.draw(st.lists(st.sampled_from([end, *SPACE[:5]]), max_size=6)))
    expected = account_of(pieces_of(model, f"{start}a{end}{answer}", finish=finish))
    text = f"{start}a{end}{extra}{answer}"
    for cut in (data.draw(parts_of(text)), list(text), [text]):
        assert account_of(pieces_of(model, *cut, finish=finish)) == expected


def shown(pieces: list[Piece]) -> list[str]:
    """The account in the order of the text, adjacent pieces of a kind joined."""
    kinds: list[tuple[str, str]] = []
    for piece in pieces:
        match piece:
            case Reclassified(text, given):
                while given:
                    kind, last = kinds.pop()
                    assert kind == "reasoning"
                    taken = min(given, len(last))
                    given -= taken
                    if taken < len(last):
                        kinds.append((kind, last[:-taken]))
                kinds.append(("output", text))
            case Reasoning(text):
                kinds.append(("reasoning", text))
            case Output(text):
                kinds.append(("output", text))
            case ToolCall(index, _, arguments):
                kinds.append((f"call {index}", arguments))
    return ["".join(text for _, text in group) for _, group in groupby(kinds, lambda each: each[0])]


def spelled(marker: str) -> str:
    pattern = re.escape(marker).replace("'", "['’]")
    return pattern.replace(">", "(?:[ \\t][^<>\\n]{0,64})?>") if re.match(r"</?\w", marker) else pattern


def accounts_for(text: str, stretches: list[str], gap: str) -> bool:
    """Whether *text* is *stretches* in order, with nothing but what matches *gap* between them."""
    ends = {0}
    gaps = re.compile(gap, re.IGNORECASE)

    def after_gap(places: set[int]) -> set[int]:
        found, fresh = set(places), set(places)
        while fresh:
            fresh = {place + size for place in fresh for size in sizes(place)} - found
            found |= fresh
        return found

    def sizes(place: int) -> set[int]:
        return {end - place for end in range(place + 1, len(text) + 1) if gaps.fullmatch(text, place, end)}

    for stretch in stretches:
        ends = {place + len(stretch) for place in after_gap(ends) if text.startswith(stretch, place)}
    return len(text) in after_gap(ends)


@given(st.data(), NAMES, FINISH)
def test_l2_nothing_is_lost_or_invented(data: st.DataObject, name: str, finish: str | None) -> None:
    model = MODELS[name]
    text = data.draw(texts(model))
    tokens = r"|<\|(?:start|channel|constrain)\|>[^<]*|<\|(?:message|end|return|call)\|>"
    gap = "|".join([r"\s", "\ufeff", *map(spelled, markers_of(model))]) + tokens
    # Whitespace may go where a marker was; where it may not is the next property's matter.
    words = [word for stretch in shown(pieces_of(model, text, finish=finish)) for word in stretch.split()]
    assert accounts_for(text, words, gap)


@given(st.data(), NAMES, FINISH)
def test_l2_plain_text_is_untouched(data: st.DataObject, name: str, finish: str | None) -> None:
    model = MODELS[name]
    text = data.draw(st.text("ab .\n\t `*_é", max_size=200))
    reasoning, output = account_of(pieces_of(model, *text, finish=finish))
    assert (reasoning + output, reasoning and output) == (text, "")


def may_wait(model: ModelConfig, held: str) -> bool:
    """Whether *held* is whitespace, a bounded run, and then the beginning of some marker, or words in doubt."""
    if any(held.startswith(end) for end in model.prose_ends):
        return len(held) <= model.prose_hold + max(map(len, model.prose_ends))
    known_ends = [end.lower() for _, end in (*model.markers, *HEAD_MARKERS) if end]
    if any(held.lstrip().lower().startswith(end) for end in known_ends):  # an inner start may have it
        return len(held) <= BLANKS + max(map(len, known_ends)) + nesting.HOLD
    marker = held.lstrip(" \n\t\r\u3000\ufeff")
    if len(held) - len(marker) > BLANKS:
        return False
    header = r"(?:<\|(?:start|channel|constrain)\|>[^<]{0,200})*(?:<\|?[a-z]{0,9}\|?)?"
    if re.fullmatch(header, marker):
        return True
    marker = marker.lstrip("*_ \n\t\r\u3000" if model.prose_starts else "").lower().replace("’", "'")
    known = [text.lower() for text in (*markers_of(model), *model.prose_starts, *model.prose_ends, *CUES)]
    known += ["analysis"] * (model.dialect == "harmony")
    attributes = r"<[\w:]+[ \t][^<>\n]{0,64}"
    alone = any(
        marker.startswith(end.lower()) and marker[len(end) :].strip() == "" for _, end in model.markers
    )
    return (
        alone
        or any(text.startswith(marker) for text in known)
        or re.fullmatch(attributes, marker) is not None
    )


@given(st.data(), NAMES)
def test_l3_nothing_waits_without_cause(data: st.DataObject, name: str) -> None:
    model = MODELS[name]
    text = data.draw(texts(model))
    for size in range(len(text) + 1):
        splitter = splitter_for(model)
        for char in text[:size]:
            splitter.feed(char)
        pieces = [piece for piece in splitter.finish(None) if not isinstance(piece, Reclassified)]
        held = sum(len(piece.arguments if isinstance(piece, ToolCall) else piece.text) for piece in pieces)
        # What the end made of it may have begun with a marker, which is not given, or a newline that joins; of a
        # harmony header that has not ended, the blanks are not given either.
        most = 220  # the harmony header that any model's answer may begin with
        ways = (text[max(0, size - held - dropped) : size] for dropped in range(-1, most))
        assert any(may_wait(model, way) for way in ways), (text[:size], held)


@given(st.data(), NAMES)
def test_l5_the_answer_is_never_empty_because_of_a_guess(data: st.DataObject, name: str) -> None:
    """Where no block was closed and nothing called a tool, all that is no marker is output in the end."""
    model = MODELS[name]
    text = data.draw(texts(model))
    for end in (*(end for _, end in model.markers), *HARMONY[6:], *model.tool_markers):
        text = re.sub(re.escape(end), "", text, flags=re.IGNORECASE)
    reasoning, output = account_of(pieces_of(model, text))
    bare = re.sub(
        "|".join(["$", *map(spelled, markers_of(model)), *map(re.escape, HARMONY)]),
        "",
        text,
        flags=re.IGNORECASE,
    )
    assert output.strip() or not bare.strip(" \n\t\r\u3000\ufeff"), (text, reasoning)


@given(st.data(), NAMES, FINISH)
def test_a_presumption_changes_when_text_leaves_and_not_where_it_goes(
    data: st.DataObject, name: str, finish: str | None
) -> None:
    """The account is the one without it, or without it of an answer that is not streamed."""
    model = MODELS[name]
    text = data.draw(texts(model))
    presumed = account_of(pieces_of(model, text, finish=finish, presumed=True))
    fresh = pieces_of(model, text, finish=finish), pieces_of(model, text, finish=finish, whole=True)
    blank = " \n\t\r\u3000\ufeff"
    assert tuple(part.strip(blank) for part in presumed) in [
        tuple(part.strip(blank) for part in account_of(pieces)) for pieces in fresh
    ]
    parts = data.draw(parts_of(text))
    for cut in (parts, list(text)):
        assert account_of(pieces_of(model, *cut, finish=finish, presumed=True)) == presumed


def work(model: ModelConfig, text: str, size: int, *, presumed: bool = False) -> int:
    """Calls made, of Python and of C, while *text* is fed in parts of *size*."""
    splitter, count = splitter_for(model, presumed=presumed), 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        for place in range(0, len(text), size):
            splitter.feed(text[place : place + size])
        splitter.finish("stop")
    finally:
        sys.setprofile(previous)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        "Plain words, and more.\n",
        "<think>a</think>\n",
        "a\n<thi `b` </think> < <\n\n",
        "\n```\n<think>\n```\n",
        "` <answer> \n<think>",
        "Let me think. Therefore, 4. Wait, `no. Hmm`\n<tool_call>\n",
        "Therefore, 4. ",
        " \n",
        "`",
        "<",
        "<think>a<think>b</think>",
        "<think>a</think></think>\n</think>",
        "</think>",
        "<think>a<think>b</think>c\n</think>\n",
    ],
)
@pytest.mark.parametrize("head", ["", "<think>", "Let me think. "])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_l4_ten_times_the_text_is_ten_times_the_work(
    unit: str, head: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codespans, "COLLECT", 64)  # so that little text shows what happens with much
    monkeypatch.setattr(nesting, "HOLD", 64)
    model = MODELS["everything"]
    text = unit * (100 // len(unit) + 1)
    small, large = (work(model, head + text * times, size) for times in (10, 100))
    assert large <= 11 * small


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("unit", ["Plain words.\n", "a\n</think> `b` <\n\n", "\n```\n</think>\n```\n", " \n"])
def test_l4_of_a_presumption(unit: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codespans, "COLLECT", 64)
    text = unit * (100 // len(unit) + 1)
    small, large = (work(MODELS["qwen3"], text * times, size, presumed=True) for times in (10, 100))
    assert large <= 11 * small


@pytest.mark.parametrize("unit", ["Almost. ", "Almost `. Wait`. "])
def test_l4_in_long_doubt(unit: str) -> None:
    model = replace(MODELS["default"], prose_hold=100_000)
    small, large = ("Let me think. Therefore, 4. " + unit * times for times in (10, 100))
    assert account_of(pieces_of(model, *large)) == ("Let me think. ", large.removeprefix("Let me think. "))
    assert work(model, large, 1) <= 11 * work(model, small, 1)
