"""Reasoning told in prose: where it opens, what ends it, and what takes an end back."""

from __future__ import annotations

import string
from time import process_time

import pytest
from msgspec.structs import replace

from tests.core.splitting import account_of, cuts, pieces_of, split, splitter_for
from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, family_of
from trio_gateway.core.reasoning import Output, Reasoning, ReasoningSplitter, Reclassified
from trio_gateway.core.reasoning.grammar import grammar_of
from trio_gateway.core.reasoning.prose import CUES, ProseEndCandidate

PROSE = replace(family_of("default"), tool_markers=("<tool_call>",), wrappers=(("<answer>", "</answer>"),))
AT_ONCE = replace(PROSE, prose_hold=0)
SHORT = replace(PROSE, prose_hold=10)
CODED = replace(PROSE, prose_ends=("`A`:",))


@pytest.mark.parametrize(
    ("text", "reasoning", "output"),
    [
        # it opens at the head, after whitespace and emphasis; nothing of it is dropped
        ("Let me think. 2 + 2. Therefore, 4.", "Let me think. 2 + 2. ", "Therefore, 4."),
        (" \n**Let's analyze** it.\n\nThe answer is 4", " \n**Let's analyze** it.\n\n", "The answer is 4"),
        ("_*Let’s analyze: Therefore, 4.", "_*Let’s analyze: ", "Therefore, 4."),
        ("Let me think Therefore, 4. Therefore, 5.", "Let me think Therefore, 4. ", "Therefore, 5."),
        # nowhere else, and as words
        ("So: Let me think. Therefore, 4.", "", "So: Let me think. Therefore, 4."),
        ("\nlet me think. Therefore, 4.", "", "\nlet me think. Therefore, 4."),
        ("Let me thinking. Therefore, 4.", "", "Let me thinking. Therefore, 4."),
        ("Let me thin. Therefore, 4.", "", "Let me thin. Therefore, 4."),
        ("Let me think", "", "Let me think"),
        ("**", "", "**"),
        ("*" * 65 + "Let me think. Therefore, 4.", "", "*" * 65 + "Let me think. Therefore, 4."),
        ("Therefore, 4.", "", "Therefore, 4."),
        # an end at the start of a sentence, as words
        ("Let me think!\nThe answer is 4", "Let me think!\n", "The answer is 4"),
        ("Let me think?\n  Therefore, 4", "Let me think?\n  ", "Therefore, 4"),
        ("Let me think:  In conclusion, 4", "Let me think:  ", "In conclusion, 4"),
        ("Let me think, a\n Therefore, 4", "Let me think, a\n ", "Therefore, 4"),
        ("Let me think." + " " * 70 + "Therefore, 4", "Let me think." + " " * 70, "Therefore, 4"),
        ("Let me think\n" + " " * 70 + "Therefore, 4", "", "Let me think\n" + " " * 70 + "Therefore, 4"),
        ("Let me think. a" + " " * 70 + "Therefore, 4", "", "Let me think. a" + " " * 70 + "Therefore, 4"),
        ("Let me think.Therefore, 4", "", "Let me think.Therefore, 4"),
        ("Let me think, Therefore, 4", "", "Let me think, Therefore, 4"),
        ("Let me think. The answer isn't 4", "", "Let me think. The answer isn't 4"),
        ("Let me think. therefore, 4", "", "Let me think. therefore, 4"),
        # outside code
        ("Let me think: `a. Therefore, 4", "", "Let me think: `a. Therefore, 4"),
        ("Let me think:\n```\nTherefore, 4\n```\nTherefore, 5", "Let me think:\n```\nTherefore, 4\n```\n", "Therefore, 5"),
        # the first that stays ends it
        ("Let me think. Therefore, 4. The answer is 4.", "Let me think. ", "Therefore, 4. The answer is 4."),
        # nothing ends it
        (" Let me think. It is 4. ", "", " Let me think. It is 4. "),
        ("Let me think. <answer>4</answer>\n<answer>4</answer>", "", "Let me think. <answer>4</answer>\n4"),
        # the answer is read as any
        ("Let me think. Therefore,\n<answer>4</answer>", "Let me think. ", "Therefore,\n4"),
        ("Let me think. Therefore, 4\n<think>a</think>5", "Let me think. \na", "Therefore, 4\n5"),
    ],
)  # fmt: skip
def test_prose(text: str, reasoning: str, output: str) -> None:
    assert split(PROSE, text) == (reasoning, output)


def test_what_ends_a_sentence() -> None:
    texts = {char: f"Let me think {char} Therefore, 4" for char in string.printable}
    ends = {char for char, text in texts.items() if split(PROSE, text)[1] == "Therefore, 4"}
    assert ends == {".", "!", "?", ":", "\n"}


@pytest.mark.parametrize("cue", CUES)
def test_cue(cue: str) -> None:
    head = "Let me think. Therefore, 4. "
    assert split(PROSE, f"{head}{cue}, no. Therefore, 5.") == (f"{head}{cue}, no. ", "Therefore, 5.")


@pytest.mark.parametrize(
    ("model", "text", "reasoning", "output"),
    [
        # a cue counts at the start of a sentence, as words, outside code, outside other words' sentences
        (PROSE, "Let me think. Therefore, 4.\nWait. It is 5", "", "Let me think. Therefore, 4.\nWait. It is 5"),
        (PROSE, "Let me think. Therefore, 4, Wait", "Let me think. ", "Therefore, 4, Wait"),
        (PROSE, "Let me think. Therefore, 4. Waiting", "Let me think. ", "Therefore, 4. Waiting"),
        (PROSE, "Let me think. Therefore, 4. `a. Wait", "Let me think. ", "Therefore, 4. `a. Wait"),
        (PROSE, "Let me think. Therefore, `. Wait` a. Wait", "", "Let me think. Therefore, `. Wait` a. Wait"),
        (PROSE, "Let me think. Therefore, `. Wait` a. `. Wait` b", "Let me think. ", "Therefore, `. Wait` a. `. Wait` b"),
        (PROSE, "Let me think. Therefore, 4. Wait", "", "Let me think. Therefore, 4. Wait"),
        # it takes back all that came before it
        (PROSE, "Let me think. Therefore, 4. The answer is 4. Hmm. Therefore, 5",
         "Let me think. Therefore, 4. The answer is 4. Hmm. ", "Therefore, 5"),
        (PROSE, "Let me think. Therefore, `4. Hmm.\n\nWait! `Therefore, 4`. Therefore, 5",
         "Let me think. Therefore, `4. Hmm.\n\nWait! `Therefore, 4`. ", "Therefore, 5"),
        # within the hold: it is counted after the words, and a cue must lie in it whole
        (SHORT, "Let me think. Therefore, 123. Wait, 5", "", "Let me think. Therefore, 123. Wait, 5"),
        (SHORT, "Let me think. Therefore, 1234. Wait, 5", "Let me think. ", "Therefore, 1234. Wait, 5"),
        (SHORT, "Let me think. Therefore, 12345. Wait, 5", "Let me think. ", "Therefore, 12345. Wait, 5"),
        (AT_ONCE, "Let me think. Therefore, 4. Wait. Therefore, 5", "Let me think. ", "Therefore, 4. Wait. Therefore, 5"),
        (AT_ONCE, "Let me think. The answer is", "Let me think. ", "The answer is"),
        # code that begins with the words
        (CODED, "Let me think. `A`: 4. Wait, 5", "", "Let me think. `A`: 4. Wait, 5"),
    ],
)  # fmt: skip
def test_doubt(model: ModelConfig, text: str, reasoning: str, output: str) -> None:
    assert split(model, text) == (reasoning, output)


def test_what_was_weighed_is_not_weighed_again() -> None:
    doubt, text = ProseEndCandidate(grammar_of(PROSE).candidate, window=1 << 21), "a" * (1 << 20)

    def seconds() -> float:
        began = process_time()
        doubt.weigh(text, 0, final=False)
        return process_time() - began

    assert seconds() > sum(seconds() for _ in range(10))


@pytest.mark.parametrize(
    ("text", "reasoning", "output"),
    [
        # a tag at the head turns prose off, also one that the prompt wrote
        ("<think>Let me think. Therefore, 4.</think>Let me think. Therefore, 5.",
         "Let me think. Therefore, 4.", "Let me think. Therefore, 5."),
        ("<answer>Let me think. Therefore, 4.</answer>", "", "Let me think. Therefore, 4."),
        # one after prose: that was output, unless something had ended it
        ("Let me think.\n<think>a. Therefore, b</think>c", "a. Therefore, b", "Let me think.\nc"),
        ("Let me think. Therefore, 4.\n<think>Wait. a</think>c", "Let me think. \nWait. a", "Therefore, 4.\nc"),
        ("Let me think.\n```\n<think>a</think>", "", "Let me think.\n```\n<think>a</think>"),
        ("Let me think. Therefore,\n```\n<think>a</think>", "Let me think. ", "Therefore,\n```\n<think>a</think>"),
        # an end of reasoning that no start preceded ends it, and takes back what may have ended it before
        ("Let me think. 4.\n</think>\n5", "Let me think. 4.", "5"),
        ("Let me think. Therefore, 4.\n</think>\n5", "Let me think. Therefore, 4.", "5"),
        ("Let me think. Therefore, 4." + "\n" * 70 + "</think>\n5", "Let me think. Therefore, 4." + "\n" * 6, "5"),
        ("Let me think. Therefore, 4.\n</think> 5", "Let me think. ", "Therefore, 4.\n</think> 5"),
        # a tool call in the text ends it too
        ("Let me think. <tool_call>{}", "Let me think.", "<tool_call>{}"),
        ("Let me think. Therefore, a\n<tool_call>{}. Wait", "Let me think. ", "Therefore, a\n<tool_call>{}. Wait"),
        ("Let me think. `<tool_call>`. Therefore, 4", "Let me think. `<tool_call>`. ", "Therefore, 4"),
    ],
)  # fmt: skip
def test_tags_beat_prose(text: str, reasoning: str, output: str) -> None:
    assert split(PROSE, text) == (reasoning, output)


def test_apostrophes_of_the_configuration() -> None:
    model = ModelConfig(prose_starts=("Let’s see",), prose_ends=("That’s it", "It’s:"))
    assert split(model, "Let's see. That's it") == ("Let's see. ", "That's it")
    assert split(model, "Let’s see. It's: 4") == ("Let’s see. ", "It's: 4")


def test_prose_is_off_where_the_prompt_opened_a_block() -> None:
    assert split(replace(PROSE, starts_in_reasoning=True), "Let me think. Therefore, 4.</think>5") == (
        "Let me think. Therefore, 4.",
        "5",
    )


@pytest.mark.parametrize(
    ("before", "after", "account"),
    [
        ("Let me think. ", "b", ("Let me think. ", "b")),
        ("Let me think. Therefore, 4. ", "Wait. 5", ("Let me think. ", "Therefore, 4. Wait. 5")),
        ("Let me think. Therefore, 4. Wai", "b", ("Let me think. ", "Therefore, 4. Waib")),
        ("Let me think. The answer is", "b", ("Let me think. ", "The answer isb")),
        ("Let me think", "b", ("", "Let me thinkb")),
    ],
)
def test_a_tool_call_beside_the_text(before: str, after: str, account: tuple[str, str]) -> None:
    for cut in cuts(before):
        splitter = splitter_for(PROSE)
        pieces = [piece for part in cut for piece in splitter.feed(part)]
        pieces += [*splitter.end_reasoning(), *splitter.feed(after), *splitter.finish("stop")]
        assert account_of(pieces) == account


@pytest.mark.parametrize("before", ["Let me think. a ", "Let me think. Therefore, 4. ", "Let me think. Ther"])
def test_structured_reasoning(before: str) -> None:
    for cut in cuts(before):
        splitter = splitter_for(PROSE)
        pieces = [piece for part in cut for piece in splitter.feed(part)]
        pieces += [*splitter.structured(), *splitter.feed("Therefore, b"), *splitter.finish("stop")]
        assert account_of(pieces) == ("", before + "Therefore, b")


def test_what_is_shown_when() -> None:
    splitter = ReasoningSplitter(PROSE)
    assert splitter.feed("Let me think.") == [Reasoning("Let me think"), Reasoning(".")]
    assert splitter.feed(" So 4. Therefore, 4.") == [Reasoning(" So 4."), Reasoning(" ")]
    assert splitter.feed(" It is. Hmm") == []
    assert splitter.feed(", 5.") == [Reasoning("Therefore, 4. It is."), Reasoning(" Hmm, 5.")]
    assert splitter.feed(" Therefore, 5." + " a" * 198) == [Reasoning(" ")]
    assert splitter.feed(" a") == [Output("Therefore, 5." + " a" * 199)]
    assert not splitter.promoted


def test_prose_that_nothing_ended_is_no_sign_of_a_wrong_assumption() -> None:
    splitter = ReasoningSplitter(PROSE)
    splitter.feed("Let me think. 4.")
    assert splitter.finish("length") == [Reclassified("Let me think. 4.", given=16)]
    assert not splitter.promoted


def test_whole() -> None:
    assert account_of(pieces_of(PROSE, "Let me think. Therefore, 4.\n</think>\n5", whole=True)) == (
        "Let me think. Therefore, 4.",
        "5",
    )
    assert account_of(pieces_of(AT_ONCE, "Let me think. Therefore, 4.\n</think>\n5", whole=True)) == (
        "Let me think. ",
        "Therefore, 4.\n5",
    )


@pytest.mark.parametrize("end", ["Wait, so", "Actually"])
def test_words_that_would_end_and_take_back_only_end(end: str) -> None:
    model = replace(PROSE, prose_ends=(end, "Therefore,"))
    assert split(model, f"Let me think. {end} 4") == ("Let me think. ", f"{end} 4")
    assert split(model, f"Let me think. {end} 4. {end} 5") == (f"Let me think. {end} 4. ", f"{end} 5")


@pytest.mark.parametrize(
    "blank", [" ", " " * 200, "\n" + " " * 200, "\n" * 200, " " * 63 + "\n", "\n" + " " * 63]
)
@pytest.mark.parametrize(("before", "starts"), [("it.", True), ("it", False)])
def test_a_sentence_starts_after_whitespace_of_any_length(before: str, starts: bool, blank: str) -> None:
    """However it is cut: a full stop counts at any distance, a newline within 64 characters."""
    newline = "\n" in blank[-64:]
    text = f"Let me think about {before}{blank}Therefore, four."
    for size in (1, 5, len(text)):
        splitter = ReasoningSplitter(DEFAULT_MODELS["default"])
        pieces = [piece for at in range(0, len(text), size) for piece in splitter.feed(text[at : at + size])]
        pieces += splitter.finish("stop")
        said = "".join(piece.text for piece in pieces if isinstance(piece, Output))
        assert (said == "Therefore, four.") is (starts or newline), (size, pieces)
