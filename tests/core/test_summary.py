"""Reasoning summaries: lines a person wants to read, whatever the reasoning and the pieces it comes in."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.summary import SIZES, ReasoningSummary, digest, plain_text
from trio_gateway.core.summary.activity import activities
from trio_gateway.core.summary.digest import PIECE, RECENT
from trio_gateway.core.summary.lines import BULK, LAST_LOOK, LONG_LOOK
from trio_gateway.core.summary.salience import (
    REMEMBERED,
    REMEMBERED_EXACTLY,
    VOCABULARY,
    ShownClauses,
    Weights,
)
from trio_gateway.core.summary.signs import is_words
from trio_gateway.core.summary.steps import at_once

if TYPE_CHECKING:
    from trio_gateway.core.summary import Detail
    from trio_gateway.core.summary.steps import Steps

THOUGHTS = [
    "The two trains leave at different times, so we need the distance that the slow one covers alone.",
    "The slow one covers thirty kilometres before the fast train starts.",
    "Then the gap closes by forty kilometres each hour.",
    "Let me check this with positions instead of relative speed.",
    "Both positions agree on the meeting point down the line.",
    "We should also consider whether the stops in between change anything.",
]
DETAILS: list[Detail] = ["concise", "auto", "detailed"]


def lines(*parts: str, detail: Detail = "auto", late: bool = False) -> list[str]:
    """The lines after each part, the last with the end of the reasoning."""
    summary = ReasoningSummary(detail=detail)
    told = []
    for part in parts[:-1]:
        summary.feed(part)
        told.append(summary.line(late=late))
    summary.feed(parts[-1])
    told.append(summary.last())
    return [line for line in told if line is not None]


# --------------------------------------------------------------------------------- reviewed by eye

MATHS = (
    "Okay, so I have this math problem here. I need to find the coefficient of \\(a^2b^2\\) in "
    "\\((a + b)^4\\left(c + \\dfrac{1}{c}\\right)^6\\). Hmm, let me try to figure this out step by step.\n\n",
    "In this case, the first part is \\((a + b)^4\\). So, applying the binomial theorem, \\((a + b)^4 = "
    "\\sum_{k=0}^{4} \\dbinom{4}{k} a^{4 - k}b^k\\). Let me write that out:\n\n\\[\n(a + b)^4 = a^4 + 4a^3b\n\\]\n\n",
    "Wait, does the term with \\(c\\) have any effect? We need the exponent of \\(c\\) to be zero, so we set "
    "\\(6 - 2m = 0\\). Solving for \\(m\\), we get \\(m = 3\\).\n\n",
    "So the answer is 120. **Final Answer**\nThe coefficient of \\(a^2b^2\\) is \\boxed{120}.",
)
CODE = (
    "Okay, the user is getting a KeyError in `load_users`. The function opens `config.json`, calls `json.load`, and "
    'then does `data["users"]` directly. So if the key is missing, that raises KeyError.\n\n',
    "Let me write the fix:\n\n```python\ndef load_users(path):\n    with open(path) as f:\n        return f\n```\n\n",
    "Hmm, but `json.load` could return a List<str> if the file is malformed. We should check "
    "`isinstance(data, dict)` and raise a ValueError with the path in the message. ",
    "Alright.\n",
)
CHINESE = (
    "好的，用户想知道一个水池的问题。首先我需要设水池的容量为1，进水管每小时注入1/6，出水管每小时排出1/8。",
    "等等，题目说水池里原来有一半的水，所以只需要再注入1/2。因此答案是6小时。",
    "我们先看这段代码的结构 它定义了一个类用来管理数据库连接",
)
REVIEWED = [
    (
        MATHS,
        [
            "Finding the coefficient of a²b²",
            "The first part is (a + b)⁴. Applying the binomial theorem",
            "Writing that out: (a + b)⁴ = a⁴ + 4a³b. Does the term with c have any effect? "
            "We need the exponent of c to be zero, so we set 6 - 2m = 0",
        ],
    ),
    (
        CODE,
        [
            "The user is getting a KeyError in load_users. The function opens config.json, calls json.load, and then "
            'does data["users"] directly',
            "If the key is missing, that raises KeyError. Writing the fix",
            "json.load could return a List‹str› if the file is malformed",
            "Checking isinstance(data, dict) and raise a ValueError with the path in the message",
        ],
    ),
    (("```python\n", "def load_users(path):\n    pass\n"), ["Writing code: def load_users(path)"]),
    (
        CHINESE,
        [
            "用户想知道一个水池的问题",
            "首先我需要设水池的容量为1，进水管每小时注入1/6，出水管每小时排出1/8。题目说水池里原来有一半的水，所以只需要再注入1/2",
            "我们先看这段代码的结构 它定义了一个类用来管理数据库连接",
        ],
    ),
    (("Alright. Okay.", " Let me think. Hmm, wait."), []),
]


@pytest.mark.parametrize(
    ("reasoning", "wanted"), REVIEWED, ids=["maths", "code", "a program", "Chinese", "filler"]
)
def test_reviewed(reasoning: tuple[str, ...], wanted: list[str]) -> None:
    assert lines(*reasoning) == wanted


def test_the_examples_of_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "summaries.md").read_text(encoding="utf-8")
    examples = re.findall(r"((?:^>.*\n)+)\n   → (.*)\n", page, re.MULTILINE)
    assert len(examples) == 20
    for quoted, line in examples:
        assert lines("\n".join(quote[2:] for quote in quoted.splitlines())) == [line]


def test_the_answer_is_kept_back() -> None:
    told = lines(
        "I need to find the sum of all even numbers below ten. The even numbers are 2, 4, 6 and 8. ",
        "Adding them in pairs is the quickest way to do it. 2 + 8 = 10 and 4 + 6 = 10, therefore 10 + 10 = 20. ",
        "So the sum of all even numbers is 20.",
    )
    assert told
    assert not any("20" in line for line in told)


def test_a_value_that_was_the_answer_is_not_told_later() -> None:
    told = lines(
        "We double the number of seats in the hall. So the answer is 1234. ",
        "Let me check the seats of the hall: 617 * 2 = 1234. ",
        "Indeed 617 * 2 = 1234 is what the plan of the hall says. ",
    )
    assert told
    assert not any("1234" in line for line in told)


def test_a_clause_with_a_name_is_told_before_one_that_leans() -> None:
    told = lines("It sorts each red vertex by colour first. Alice sorts each red vertex by colour. ")
    assert told == ["Alice sorts each red vertex by colour"]


def test_nothing_is_told_twice_also_not_in_other_words() -> None:
    summary = ReasoningSummary()
    summary.feed("Let me check the units of the second equation. ")
    assert summary.last() == "Checking the units of the second equation"
    summary.feed("I should check the units of that second equation again. ")
    assert summary.last() is None


def test_a_restart_forgets_the_text_and_remembers_what_was_told() -> None:
    summary = ReasoningSummary()
    summary.feed("We multiply both sides by the denominator. **Final Answer**\nThe")
    assert summary.line() == "We multiply both sides by the denominator"
    summary.restart()
    summary.feed("The matrix has exactly three rows. " * 20 + "Half a sent")
    summary.restart()
    assert not summary.ready
    summary.feed("We multiply both sides by the denominator. Next")
    assert summary.line() is None
    summary.feed(" we divide both sides by the numerator. After")
    assert summary.line() == "We divide both sides by the numerator"


def test_a_line_of_somebody_else_counts_as_told() -> None:
    summary = ReasoningSummary()
    summary.feed("Let me check the units of the second equation. So the answer is 1234. Next")
    assert not summary.accept("The result of it all is 1234")
    assert not summary.accept("So the answer is seven")
    assert summary.accept("Checking units in the second equation")
    assert not summary.ready
    assert not summary.accept("Checking units of the second equation")
    summary.feed(" we check the units of the second equation. Then we draw the graph of both. End")
    assert summary.line() == "We draw the graph of both"


def test_much_that_is_new_makes_one_line() -> None:
    text = "".join(f"We compare row{number} with column{number * 3} of the matrix. " for number in range(60))
    assert len(lines(text)) == 1


def test_a_long_clause_loses_phrases_before_it_is_cut() -> None:
    text = "The Asymptote code draws a long vertical line on the right of the figure for a reason that I could find. "
    assert lines(text, detail="concise") == [
        "The Asymptote code draws a long vertical line on the right of the figure"
    ]


TAKEN_BACK = [
    (
        "The cache is always cold in the morning. But that is wrong on Monday. So",
        "The cache is always cold in the morning. But that is wrong on Monday",
    ),
    (
        "The cache is always cold in the morning. No, wait. We count the hits of it. So",
        "The cache is always cold in the morning. No, wait. We count the hits of it",
    ),
    (
        "Checking the cache of the server. However, the log is empty today. So",
        "Checking the cache of the server. The log is empty today",
    ),
    ("The cache is always cold in the morning. But", None),
    ("The cache is always cold in the morning. B", None),
    ("The cache is always cold in the morning. S", "The cache is always cold in the morning"),
]


@pytest.mark.parametrize(("text", "wanted"), TAKEN_BACK)
def test_what_the_next_sentence_takes_back_is_told_with_it_or_not_at_all(
    text: str, wanted: str | None
) -> None:
    summary = ReasoningSummary()
    summary.feed(text)
    assert summary.line() == wanted


def test_a_doubtful_claim_waits_for_the_next_line() -> None:
    summary = ReasoningSummary()
    summary.feed("Checking the logs of the server. The cache is always cold in the morning. B")
    assert summary.line() == "Checking the logs of the server"
    summary.feed("oth caches are cold in the evening too. So")
    assert "The cache is always cold in the morning" in (summary.line() or "")


# ---------------------------------------------------------------------------------- when a line is late

TOLD = "The smaller square is placed on the larger square at one corner of the figure. So"
LATE = [
    # New in part, or a longer one that contains a told one.
    (
        " the smaller square is placed at one corner of the larger square, where both diagonals meet the edge. So",
        "The smaller square is placed at one corner of the larger square, where both diagonals meet the edge",
    ),
    # The sentence under way, as far as a clause of it is finished.
    (
        " we rotate the whole figure by a quarter turn, because the",
        "We rotate the whole figure by a quarter turn",
    ),
    (
        " the whole figure turns (so that we see it), because of \\(a",
        "The whole figure turns (so that we see it)",
    ),
    # Remarks, fragments, and what must be cut.
    (" let me verify each step again to be sure. So", "Verifying each step again to be sure"),
    (" why the discrepancy? So", "Why the discrepancy?"),
    (
        " whoever supposes that patterns repeat themselves forever without any exception underestimates absolutely"
        " everything that circumstances ever changed suddenly in figures. So",
        "Whoever supposes that patterns repeat themselves forever without any exception underestimates absolutely "
        "everything that circumstances ever…",
    ),
    # What the model is busy with, where the sentence itself may not be told.
    (" the answer is clear: the area of the shaded part is 24. So", "Going over the area of the shaded part"),
    (" the smaller square is placed on the larger square at one corner. So", "Going over the smaller square"),
    # Neither a value that may turn out to be the result, nor filler.
    (" the total is clear, because", None),
    (" we find that x is 24 in the end, because", None),
    (" let me think. Okay. Hmm.", None),
]


@pytest.mark.parametrize(("text", "wanted"), LATE)
def test_less_will_do_when_a_line_is_late(text: str, wanted: str | None) -> None:
    summary = ReasoningSummary()
    summary.feed(TOLD)
    assert summary.line() == TOLD[:-4]
    summary.feed(text)
    assert summary.line() is None
    assert summary.line(late=True) == wanted


def test_what_was_not_worth_a_line_at_once_is_kept_until_one_is_late() -> None:
    summary = ReasoningSummary()
    summary.feed(TOLD + " let me verify each step again to be sure. So")
    assert summary.line() == TOLD[:-4]
    summary.feed(" let me verify each step again to be sure. So")
    assert summary.line() is None
    summary.feed(" okay. Hmm")
    assert summary.line() is None
    assert summary.line(late=True) == "Verifying each step again to be sure"
    summary.feed(" let me verify each step again to be sure. So")
    assert summary.line(late=True) is None


def test_a_thing_is_dealt_with_once() -> None:
    summary = ReasoningSummary()
    summary.feed("The answer is clear: the area of the shaded part is 24. So")
    assert summary.line(late=True) == "Going over the area of the shaded part"
    summary.feed(" wait, the answer is clear: the area of the shaded part in the figure is 25. So")
    assert summary.line(late=True) is None


def test_an_activity_is_no_line_that_was_told() -> None:
    summary = ReasoningSummary()
    summary.feed("Considering the area of the shaded part. So")
    assert summary.line() == "Considering the area of the shaded part"
    summary.feed(" perhaps the answer is clear: the area of the shaded part is 24. So")
    assert summary.line(late=True) is None


def test_an_activity_fits_the_line_and_bears_no_result() -> None:
    summary = ReasoningSummary(detail="concise")
    summary.feed("So the answer is 24. Perhaps the answer is wrong, since the 24 units of it are much. So")
    assert summary.line(late=True) is None
    summary.feed(
        " the answer is clear: the area of the shaded part with all its many small corners and its rounded edges is 7. So"
    )
    assert summary.line(late=True) is None


ACTIVITIES = [
    (
        ["Let me double-check that.", "So the number of bits is 19."],
        ["Double-checking the number of bits"],
    ),
    (["Hmm, the scaling factor was wrong."], ["Reconsidering the scaling factor"]),
    (["Is there another way?", "The first term is 3."], ["Looking at the first term another way"]),
    (["Indeed, the first term is 3."], ["Confirming the first term"]),
    (["Maybe the first term is 3."], ["Considering the first term"]),
    (["The first term is 3."], ["Going over the first term"]),
    (["It is 3 by counting the bits."], ["Counting the bits"]),
    (["It is 3 by being the first that we see."], []),
    # Only what stands for something by itself, and nothing that speaks of the result.
    (["The value is 3.", "The answer we want is 3.", "x is 3."], []),
]


@pytest.mark.parametrize(("sentences", "wanted"), ACTIVITIES)
def test_activities(sentences: list[str], wanted: list[str]) -> None:
    assert [line for line, _ in activities(sentences)] == wanted


READY = [
    (["We add both of the numbers first"], False),
    (["We add both of the numbers first. "], False),
    (["We add both of the numbers first. ", "T"], True),
    (["We add both of the numbers first.", " ", "T"], True),
    (["We add both of the numbers first to get 3.", "14"], False),
    (["We add both of the numbers first\n", "\n", "T"], True),
    (["We add.", " So"], False),
    (["我们先把两个数字相加，然后再除以二，得到它们的平均数，最后再检查一遍。", "好"], True),
    (["x" * LONG_LOOK], True),
    ([""], False),
]


@pytest.mark.parametrize(("pieces", "ready"), READY)
def test_ready_after_a_complete_thought(pieces: list[str], ready: bool) -> None:
    summary = ReasoningSummary()
    for piece in pieces:
        summary.feed(piece)
    assert summary.ready is ready


# --------------------------------------------------------------------------------------- properties

PARTS = [
    "Okay, so ", "I need to find the ", "coefficient", " of x^2. ", "\\(a^2", "\\)", " \\[", "\\] ", "$x", "$ ",
    "```\n", "```python\ncode = 1\n", "\n", "\n\n", "**", "__", "`", "<div>", "<script>", "data: [DONE]\n\n", "\u202e",
    "\u200b", "\x00", "\x85", "\u2028", "我们计算", "。", "，", "Wait, ", "so the answer is 42. ", "\\boxed{42}", "{", "}",
    "(", ")", '"', "? ", ". ", "; ", "1. ", "- ", "| a | b |\n", "\\frac{1}{2}", "we get x = 5 cm. ", "because ", "if ",
    " some words of it", "\ud800", "the user wants to see the list, but it is empty. ", "let me check the value of n. ",
]  # fmt: skip
reasonings = st.lists(st.lists(st.sampled_from(PARTS), max_size=25).map("".join), min_size=1, max_size=8)


@given(reasonings, st.sampled_from(DETAILS), st.booleans())
def test_every_line_is_text_for_people(reasoning: list[str], detail: Detail, late: bool) -> None:
    told = lines(*reasoning, detail=detail, late=late)
    assert len(set(told)) == len(told)
    for line in told:
        assert 0 < len(line) <= SIZES[detail].width
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in line)
        assert not re.search(r"<[A-Za-z/!?]|\\boxed|\b42\b|`", line)
        assert is_words(line)


def test_what_is_never_asked_for_is_not_kept() -> None:
    summary = ReasoningSummary()
    summary.feed("Let me check whether the next item is larger. " * 10_000)
    assert len(summary._digest.pending) == RECENT
    assert not summary._digest.sentences


@given(reasonings, st.integers(1, 9), st.sampled_from(DETAILS), st.booleans())
def test_pieces_do_not_matter(reasoning: list[str], size: int, detail: Detail, late: bool) -> None:
    whole, pieces = ReasoningSummary(detail=detail), ReasoningSummary(detail=detail)
    for part in reasoning:
        whole.feed(part)
        for start in range(0, len(part), size):
            pieces.feed(part[start : start + size])
        assert whole.ready is pieces.ready
        assert whole.line(late=late) == pieces.line(late=late)
    assert whole.last() == pieces.last()


def test_reasoning_without_end_takes_bounded_memory() -> None:
    summary = ReasoningSummary()
    told = []
    for number in range(3000):
        summary.feed(
            f"Let me check whether item{number} of list{number * 7} is larger than value{number * 13}. "
        )
        told.append(summary.line())
    # One sentence is always open: its end is certain only with the next one.
    assert len(set(told)) >= 2990
    assert len(summary._shown._recent) == REMEMBERED
    assert len(summary._shown._exact) <= REMEMBERED_EXACTLY
    assert len(summary._weights._had) <= VOCABULARY


def test_an_old_clause_is_remembered_by_its_terms() -> None:
    told = ShownClauses()
    told.add(frozenset(["first", "clause"]))
    told.add(frozenset(["remark"]))
    assert not told.knows(frozenset(["remark", "longer"]))
    assert told.knows(frozenset(["first", "clause", "longer"]))
    assert told.knows(frozenset(["first"]))
    for number in range(REMEMBERED):
        told.add(frozenset([f"a{number}", f"b{number}"]))
    assert told.knows(frozenset(["first", "clause"]))
    assert not told.knows(frozenset(["first", "clause", "more", "terms"]))
    for number in range(REMEMBERED_EXACTLY):
        told.add(frozenset([f"c{number}"]))
    assert not told.knows(frozenset(["first", "clause"]))


def test_a_term_weighs_more_the_rarer_it_was() -> None:
    weights = Weights()
    weights.learn([["old", "old"], ["old"]])
    weights.close()
    weights.learn([["old", "new"], ["old", "new"], ["once"]])
    assert weights.value(frozenset(["new"])) > weights.value(frozenset(["once"]))
    assert weights.value(frozenset(["new"])) > weights.value(frozenset(["old"]))
    assert weights.value(frozenset()) == 0


# --------------------------------------------------------------------------------------- in slices


def exhausted(steps: Steps[object], most: int) -> bool:
    """Whether *steps* end within so many yields; otherwise they are given up."""
    for _ in range(most):
        try:
            next(steps)
        except StopIteration:
            return True
    steps.close()
    return False


def test_feeding_only_keeps_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_up: list[str] = []

    def plain(text: str) -> str:
        worked_up.append(text)
        return text

    monkeypatch.setattr(digest, "plain", plain)
    summary = ReasoningSummary()
    for _ in range(1000):
        summary.feed("Let me check whether the next item is larger. ")
    assert worked_up == []
    summary.last()
    assert 0 < sum(map(len, worked_up)) <= LAST_LOOK


def test_what_is_prepared_is_not_worked_up_again_and_changes_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_up: list[str] = []

    def plain(text: str) -> str:
        worked_up.append(text)
        return plain_text.plain(text)

    monkeypatch.setattr(digest, "plain", plain)
    lazy, prepared = ReasoningSummary(), ReasoningSummary()
    for summary in (lazy, prepared):
        summary.feed(THOUGHTS[0] + " Then")
        assert summary.line() is not None
    for thought in THOUGHTS[1:]:
        lazy.feed(f" {thought}")
        prepared.feed(f" {thought}")
        if prepared.unprepared:
            at_once(prepared.prepare_steps())
            assert not prepared.unprepared
    worked_up.clear()
    last = prepared.last()
    assert len(worked_up) == 1
    assert last == lazy.last()
    assert last is not None


def test_before_the_first_line_and_in_a_torrent_only_the_latest_is_prepared() -> None:
    summary = ReasoningSummary()
    summary.feed(
        "We open the box with the golden key. " + "Hm. " * LAST_LOOK + "We count the spoons here. So"
    )
    at_once(summary.prepare_steps())
    assert summary.line() == "We count the spoons here"
    summary.feed("We open the box with the golden key. " + "Hm. " * BULK + "We pour the tea into the cup. So")
    at_once(summary.prepare_steps())
    assert summary.line() == "We pour the tea into the cup"


def test_no_more_is_prepared_for_a_line_than_it_would_read() -> None:
    summary = ReasoningSummary()
    summary.feed("We count the spoons here. So")
    assert summary.line()
    rounds = 0
    while True:
        summary.feed(f"We pour cup {rounds} of tea into the pot. " * 10)
        if not summary.unprepared:
            break
        at_once(summary.prepare_steps())
        rounds += 1
    assert RECENT // 2 < rounds * 350 < 2 * RECENT
    summary.line()
    summary.feed("We pour another cup of tea into the pot. So")
    assert summary.unprepared


def test_only_the_latest_text_is_worked_up_from_the_end_of_a_thought_on() -> None:
    summary = ReasoningSummary()
    summary.feed("We open the box with the golden key. So")
    assert summary.line() == "We open the box with the golden key"
    summary.feed("We pour the tea into the blue cup. " + "Hm " * RECENT)
    summary.feed("We count the spoons in the upper drawer. So")
    assert summary.line(late=True) == "We count the spoons in the upper drawer"
    assert "tea" not in str(summary._shown._recent)


def test_a_torn_text_without_an_end_is_read_all_the_same() -> None:
    summary = ReasoningSummary()
    summary.feed("x " * RECENT + "\nWe count the spoons in the upper drawer. So")
    assert summary.line(late=True) == "We count the spoons in the upper drawer"


def test_text_that_comes_meanwhile_waits_for_the_next_line() -> None:
    summary = ReasoningSummary()
    summary.feed("Hm. " * PIECE + "We count the spoons in the upper drawer. So")
    steps = summary.line_steps(late=False)
    next(steps)
    summary.feed(" we pour the tea into the blue cup. So")
    assert at_once(steps) == "We count the spoons in the upper drawer"
    assert summary.ready
    assert summary.line() == "We pour the tea into the blue cup"


def test_a_torrent_meanwhile_is_no_end() -> None:
    """Text that comes faster than it is worked up takes no more of a line's time."""
    summary = ReasoningSummary()
    summary.feed("We count the spoons in the upper drawer. " * 100)
    steps = summary.line_steps(late=False)
    for _ in range(1000):
        summary.feed("We pour the tea into the blue cup. " * 1000)
        try:
            next(steps)
        except StopIteration:
            break
    else:
        raise AssertionError("it goes on and on")
    assert summary.ready


def test_another_attempt_meanwhile_gets_no_line_of_the_one_before() -> None:
    for most in range(1, 40):
        summary = ReasoningSummary()
        summary.feed(
            "Hm. " * PIECE + "We count the spoons in the upper drawer. So we pour the tea into the cup. And"
        )
        steps = summary.line_steps(late=True)
        done = exhausted_after_restart(summary, steps, most)
        summary.feed("We count the spoons in the upper drawer. So")
        if done:
            break
        assert summary.line() == "We count the spoons in the upper drawer"
    assert most > 1


def exhausted_after_restart(summary: ReasoningSummary, steps: Steps[str | None], most: int) -> bool:
    """Restart *summary* after so many of *steps*; whether they had come to their end."""
    for _ in range(most):
        try:
            next(steps)
        except StopIteration:
            return True
    summary.restart()
    assert at_once(steps) is None
    return False


def test_a_line_of_a_model_for_an_attempt_that_is_over_is_not_accepted() -> None:
    summary = ReasoningSummary()
    summary.feed("Hm. " * PIECE + "We count the spoons in the upper drawer. So")
    steps = summary.accept_steps("Counting the spoons")
    next(steps)
    summary.restart()
    assert at_once(steps) is False


@given(reasonings, st.integers(0, 60), st.sampled_from(DETAILS), st.booleans())
def test_what_is_given_up_leaves_a_sound_summary(
    reasoning: list[str], most: int, detail: Detail, late: bool
) -> None:
    summary = ReasoningSummary(detail=detail)
    told: list[str | None] = []
    for part in reasoning:
        summary.feed(part)
        exhausted(summary.line_steps(late=late), most)
        summary.feed(part)
        told.append(summary.line(late=late))
    told.append(summary.last())
    assert all(line is None or 0 < len(line) <= SIZES[detail].width for line in told)


@given(st.lists(st.sampled_from([*PARTS, "1", "！", "`", "<", "a", "\n", "\\frac{"]), min_size=1, max_size=4))
def test_a_slice_is_a_little_work(parts: list[str]) -> None:
    """Whatever it is of: no less than one yield for each piece of text that is read."""
    text = "".join(parts)
    text *= RECENT // len(text)
    summary = ReasoningSummary()
    summary.feed("We count the spoons in the upper drawer. Then")
    assert summary.line()
    summary.feed(text)
    slices = 0
    for _ in summary.line_steps(late=True):
        slices += 1
    assert len(text) // PIECE <= slices <= 400
