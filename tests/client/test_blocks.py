"""Markdown cut into blocks as it streams: nothing is lost, nothing changes, nothing is shown twice."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.client.window import STYLING, Window
from trio_gateway.terminal.blocks import MAX_BLOCK, Block, BlockReader, Code, Prose
from trio_gateway.terminal.region import Region
from trio_gateway.terminal.styled import StyledOutput, StyledSummary
from trio_gateway.terminal.text import PARSER


def blocks(*pieces: str) -> list[Block]:
    reader = BlockReader(PARSER)
    return [block for piece in pieces for block in reader.feed(piece)] + reader.finish()


FENCE = Code("python", "", opens=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("one\ntwo", [Prose("one\ntwo\n")]),
        ("a\n\nb\n\nc\n", [Prose("a\n\n"), Prose("b\n\n"), Prose("c\n")]),
        ("a\n===\nb", [Prose("a\n===\n"), Prose("b\n")]),
        ("- a\n\n  b\n- c\n\nd", [Prose("- a\n\n  b\n- c\n\n"), Prose("d\n")]),
        ("> a\n-\n--\n", [Prose("> a\n"), Prose("-\n"), Prose("--\n")]),
        ("x\n```python\na\n\n  b\n```\ny", [Prose("x\n"), FENCE, *map(Code, ["python"] * 3, ["a", "", "  b"]), Prose("y\n")]),
        ("  ~~~~python x\n   a\n~~~\n b\n~~~~~\n", [FENCE, *map(Code, ["python"] * 3, [" a", "~~~", "b"])]),
        ("```python\nnever closed", [FENCE, Code("python", "never closed")]),
        ("```python\na\n``", [FENCE, Code("python", "a"), Code("python", "``")]),
        ("- x\n  ```python\n  a\n  ```\n", [Prose("- x\n  ```python\n  a\n  ```\n")]),
    ],
)  # fmt: skip
def test_what_is_a_block(text: str, wanted: list[Block]) -> None:
    assert blocks(text) == wanted
    assert blocks(*text) == wanted


@pytest.mark.parametrize("text", ["x" * 5 * MAX_BLOCK, "- y\n" * MAX_BLOCK, "```\n" + "z" * 3 * MAX_BLOCK])
def test_a_block_without_end_is_cut(text: str) -> None:
    reader = BlockReader(PARSER)
    final = reader.feed(text)
    assert all(len(block.text) <= MAX_BLOCK for block in (*final, *reader.rest))
    kept = "".join(block.text for block in (*final, *reader.finish()))
    assert kept.rstrip("\n") == text.removeprefix("```\n").rstrip("\n")


MARKDOWN = st.lists(
    st.sampled_from(
        [
            *(
                "word ",
                "漢字",
                "😀",
                "\n",
                "\n\n",
                "- item\n",
                "  more\n",
                "1. one\n",
                "# Title\n",
                "> quote\n",
            ),
            *(
                "```python\n",
                "x = 'y'\n",
                "```\n",
                "`",
                "~~~\n",
                "| a | b |\n",
                "|---|---|\n",
                "| 1 | 漢 |\n",
            ),
            *("**", "*", "---\n", "===\n", "\\(", "\\)", "$$", "$", "    code\n", "\t", "-", "<b>", "[a](b)"),
        ]
    )
    | st.text("abc `*#|>-\n", max_size=6),
    max_size=60,
).map("".join)


def drawn(pieces: list[str], columns: int, rows: int, *, each: bool = True) -> str:
    """What the window shows once all is written; *each*: every piece is drawn as it comes."""
    out = io.StringIO()
    console = Console(
        file=out, width=columns, height=rows, force_terminal=True, color_system="standard", highlight=False
    )
    output = StyledOutput(console)
    for piece in pieces:
        output.write(piece)
        if each:
            output.draw(force=True)
    output.end()
    return out.getvalue().replace("\n", "\r\n")  # as a terminal does


@given(MARKDOWN, st.sets(st.integers(0, 10**6), max_size=30), st.integers(8, 60), st.integers(2, 30))
def test_nothing_is_shown_twice_however_it_is_cut(
    text: str, places: set[int], columns: int, rows: int
) -> None:
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    window = Window(drawn(pieces, columns, rows), columns=columns, rows=rows)
    # On paper without end, in one piece: the final rows alone.
    paper = re.sub(STYLING, "", drawn([text], columns, 10_000, each=False))
    assert window.text == Window(paper, columns=columns, rows=10_000).text


@given(st.lists(st.text("ab 漢\n", max_size=30), max_size=10), st.integers(8, 40), st.integers(2, 10))
def test_summaries_are_shown_once_and_whole(pieces: list[str], columns: int, rows: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=columns, height=rows, force_terminal=True, color_system="standard")
    summary = StyledSummary(console)
    for number, piece in enumerate(pieces):
        summary.write(piece)
        summary.status(f"waiting {number} s" * (number % 2))
        summary.draw(force=True)
    summary.end()
    shown = Window(out.getvalue().replace("\n", "\r\n"), columns=columns, rows=rows).text
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", "".join(pieces))


def test_a_line_of_a_summary_is_broken_at_words_and_indented() -> None:
    out = io.StringIO()
    console = Console(file=out, width=20, height=9, force_terminal=True, color_system="standard")
    summary = StyledSummary(console)
    summary.write("one two three four five six\n\nseven\n\n")
    summary.end()
    assert (
        Window(out.getvalue().replace("\n", "\r\n"), columns=20).text
        == "one two three\n  four five six\nseven"
    )


def test_a_window_that_becomes_narrower_loses_nothing() -> None:
    out = io.StringIO()
    console = Console(file=out, width=20, height=9, force_terminal=True, color_system="standard")
    region = Region(console)
    region.show(["final"], ["x" * 19, "y"])
    console.width = 10  # a terminal breaks the two rows into three
    region.show([], ["z"])
    assert out.getvalue().endswith("\x1b[2F\x1b[J\x1b[?7lz\x1b[?7h")


@pytest.mark.parametrize(
    ("language", "styled"), [("python", True), ("", False), ("no-such-language", False), ("\x1b[2J", False)]
)
def test_code_is_highlighted_where_its_language_is_known(language: str, styled: bool) -> None:
    shown = drawn([f"```{language}\n", 's = """a\n', 'return b"""\n', "return 1\n```\n"], 40, 10)
    assert Window(shown, columns=40).text == '  s = """a\n  return b"""\n  return 1'
    assert bool(re.search(r"\x1b\[[\d;]*3\d", shown)) is styled
    if styled:  # within the string, it is no keyword
        first, second = re.findall(r"(\x1b\[[\d;]*m)return", re.sub(r"  ", "", shown))[-2:]
        assert first != second
