"""Sentences of growing text, whatever the pieces it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.summary import sentences
from trio_gateway.core.summary.sentences import BLOCK, KEPT, LONGEST, LONGEST_CJK, SentenceReader


def read(text: str, *, final: bool = True) -> list[str]:
    reader = SentenceReader()
    reader.feed(text)
    return [("code: " if found.code else "") + found.text for found in reader.take(final=final)]


CASES = [
    ("One. Two? Three! Four", ["One.", "Two?", "Three!", "Four"]),
    ("See e.g. this vs. that. Done.", ["See e.g. this vs. that.", "Done."]),
    ("It is 3.14 or v1.2. yes. No.", ["It is 3.14 or v1.2. yes.", "No."]),
    ("1. First item\n2. Second item\n", ["1. First item", "2. Second item"]),
    ("So 6! / (3! * 3!) = 20. Good", ["So 6! / (3! * 3!) = 20.", "Good"]),
    ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
    ("Sum:\n\n\\[\na = b. C\n\\]\n\nNext", ["Sum:\n\n\\[\na = b. C\n\\]", "Next"]),
    ("\\[ x \\]\n\n\\[ y \\]", ["\\[ x \\]\n\n\\[ y \\]"]),
    ("Let $a. B$ and \\(c. D\\) hold. `e. F` too", ["Let $a. B$ and \\(c. D\\) hold.", "`e. F` too"]),
    ("no full stop\nnext line", ["no full stop", "next line"]),
    (
        "this line is long enough to have been wrapped by an editor or by a model at\nthe right margin",
        ["this line is long enough to have been wrapped by an editor or by a model at\nthe right margin"],
    ),
    ("我们先算。然后检查！对吗？“是的。”好", ["我们先算。", "然后检查！", "对吗？", "“是的。”", "好"]),
    ("Fix:\n```python\n\ndef f(x):\n    return x. Y\n```\nDone. ", ["Fix:", "code: def f(x):", "Done."]),
    ("```\nx = 1\n", ["code: x = 1"]),
    ("```\nx = 1", ["code: x = 1"]),
    ("```", []),
    ("Use ``` inline. Yes", ["Use ``` inline.", "Yes"]),
    ("Unclosed \\[ x. Then more", ["Unclosed \\[ x.", "Then more"]),
    ("\\[" + "x" * 800 + "\\] End. Go", None),
    ("\n\n \n", []),
    # Ordinals, abbreviations, versions and decimals end nothing.
    ("Sie endet am 31. August. Danach nicht.", ["Sie endet am 31. August.", "Danach nicht."]),
    ("Seit 1. Januar gilt Art. 5 Abs. 2 noch. Ja.", ["Seit 1. Januar gilt Art. 5 Abs. 2 noch.", "Ja."]),
    ("Der 2. Weltkrieg endete. Dann", ["Der 2. Weltkrieg endete.", "Dann"]),
    ("Man nimmt z. B. Wasser. Dann", ["Man nimmt z. B. Wasser.", "Dann"]),
    ("Das heißt d. h. Nr. 5 gilt. Ja.", ["Das heißt d. h. Nr. 5 gilt.", "Ja."]),
    (
        "See No. 5 and i.e. Section II. No. That is wrong.",
        ["See No. 5 and i.e. Section II.", "No.", "That is wrong."],
    ),
    ("Use Python 3.12. Then upgrade.", ["Use Python 3.12.", "Then upgrade."]),
    ("The ratio equals 7. So we go on.", ["The ratio equals 7.", "So we go on."]),
    ("Let x be n. Then go.", ["Let x be n.", "Then go."]),
    ("Voir p. ex. Le chapitre. Fin", ["Voir p. ex. Le chapitre.", "Fin"]),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_sentences(text: str, wanted: list[str] | None) -> None:
    found = read(text)
    assert found == wanted if wanted is not None else found[-1] == "Go"


UNCERTAIN = [
    "It ends. ",
    "It ends.",
    "a line\n",
    "open \\[ x. Then",
    "open $$ x. Then",
    "```python\n",
    "```python\ndef",
]


@pytest.mark.parametrize("text", UNCERTAIN)
def test_nothing_is_certain_before_the_next_visible_character(text: str) -> None:
    assert read(text, final=False) == []


def test_the_end_of_a_formula_may_still_come() -> None:
    reader = SentenceReader()
    reader.feed("We get \\[ a. B")
    assert reader.take() == []
    reader.feed(" \\] here. So")
    assert [found.text for found in reader.take()] == ["We get \\[ a. B \\] here."]


def test_a_fence_goes_on_over_several_calls() -> None:
    reader = SentenceReader()
    reader.feed("Code:\n```\none = 1. Two\nthree = 3\n")
    assert [found.text for found in reader.take()] == ["Code:", "one = 1. Two"]
    reader.feed("four. Five\nsix\n``")
    assert reader.take() == []
    reader.feed("`\nNow text. And")
    assert [found.text for found in reader.take()] == ["Now text."]


def test_clear_forgets_text_and_fence() -> None:
    reader = SentenceReader()
    reader.feed("Old. More\n```\ncode\ncode\n")
    reader.clear()
    reader.feed("New. One")
    assert [found.text for found in reader.take()] == ["New."]


@pytest.mark.parametrize(
    ("unit", "longest"), [("word ", LONGEST), ("x", LONGEST), ("我们算，", LONGEST_CJK), ("我", LONGEST_CJK)]
)
def test_text_without_an_end_is_cut(unit: str, longest: int) -> None:
    found = read(unit * 3000, final=False)
    assert len(found) > 2
    assert all(0 < len(sentence) <= longest for sentence in found)


def test_only_the_latest_are_kept() -> None:
    assert read("".join(f"Number {at}. " for at in range(1000))) == [
        f"Number {at}." for at in range(1000 - KEPT, 1000)
    ]


PARTS = [
    "One. ",
    "two",
    "\n",
    "\n\n",
    "\\[",
    "\\]",
    "$",
    "`",
    "```\n",
    "我们。",
    "? ",
    "1. ",
    "e.g. ",
    "x" * 300,
    " ",
    "A",
]


@given(st.lists(st.sampled_from(PARTS)), st.integers(1, 7), st.sets(st.integers(0, 40)))
def test_pieces_do_not_matter(parts: list[str], size: int, asked: set[int]) -> None:
    whole, pieces = SentenceReader(), SentenceReader()
    for at, part in enumerate(parts):
        whole.feed(part)
        for start in range(0, len(part), size):
            pieces.feed(part[start : start + size])
        if at in asked:
            assert whole.take() == pieces.take()
    assert whole.take(final=True) == pieces.take(final=True)


@given(st.lists(st.sampled_from(PARTS), max_size=30), st.integers(1, 40))
def test_each_character_is_scanned_a_bounded_number_of_times(parts: list[str], times: int) -> None:
    text = "".join(parts) * times
    scanned = 0

    class Counting(sentences._Scan):
        def __init__(self, text: str, fenced: bool, final: bool) -> None:
            nonlocal scanned
            scanned += len(text)
            super().__init__(text, fenced, final)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "_Scan", Counting)
        reader = SentenceReader()
        for char in text:
            reader.feed(char)
            assert len(reader._tail) <= LONGEST
        reader.take(final=True)
    # A block, with the tail of at most LONGEST characters that stood before it.
    assert scanned <= len(text) * (1 + LONGEST / BLOCK) + LONGEST + 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Done. We add the two", "We add the two"),
        ("Done. We add \\(a\\) and \\(b", "We add \\(a\\) and"),
        ("Done. We add \\[a", "We add"),
        ("Done. We add $a$ and $b", "We add $a$ and"),
        ("Done. We call `f` and `g", "We call `f` and"),
        ("```\nWe add the two\nand more", ""),
    ],
)
def test_the_sentence_under_way_without_an_open_formula(text: str, wanted: str) -> None:
    reader = SentenceReader()
    reader.feed(text)
    reader.take()
    assert reader.unfinished.strip() == wanted
