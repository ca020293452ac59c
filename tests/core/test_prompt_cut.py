"""The cut of a long prompt: what goes on over it is one piece of material, and no count is given as whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_gateway.core.summary.prompt import HEAD, TAIL, prompt_text, summarize_prompt
from trio_gateway.core.summary.prompt_cut import CUT, LINE, joined_at_cut, over
from trio_gateway.core.summary.prompt_material import find_material

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = (
    "What stands out in this material, and which of its parts would you check by hand before all others?"
)
ANSWERING = f'Answering: "{QUESTION}"'
FILLER = "Sales went up in every region of the country. "


def line_of(text: str) -> str:
    return summarize_prompt([{"role": "user", "content": text}])


def lines(make: Callable[[int], str], count: int) -> str:
    return "".join(map(make, range(count)))


CSV = "id,name,score\n" + lines(lambda at: f"{at},Ann,{at % 90}\n", 4000)
SMALL = "id,name,score\n" + "1,Ann,2\n" * 14
MARKDOWN = "| city | people |\n|---|---|\n" + lines(lambda at: f"| Rome | {at} |\n", 4000)
LOG = lines(lambda at: f"2024-05-01 12:{at // 60 % 60:02}:{at % 60:02} ERROR timeout\n", 3000)
CODE = lines(lambda at: f"def f{at}(x):\n    y = x + {at}\n\n    return y\n\n", 2000)
ITEMS = ", ".join('{"id": 1, "name": "item"}' for _ in range(4000))
JAVA = "java.lang.StackOverflowError: x\n" + lines(
    lambda at: f"\tat com.acme.Users.load(Users.java:{at})\n", 2000
)
PYTHON = (
    "Traceback (most recent call last):\n"
    + lines(lambda at: f'  File "app.py", line {at}, in load\n    load()\n', 2000)
    + "RecursionError: too deep\n"
)
DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n" + lines(lambda at: f"+x = {at}\n", 8000)
BLOCKS = lines(lambda at: f"Block {at}:\n\n```python\nx = {at}\n```\n\n", 2000)

LONG = [
    # one piece on both sides of the cut
    (f"{CSV}\n{QUESTION}", r"a table of over \S+ rows"),
    (f"{QUESTION}\n\n{CSV}", r"a table of over \S+ rows"),
    (f"{MARKDOWN}\n{QUESTION}", r"a table of over \S+ rows"),
    (f"{LOG}\n{QUESTION}", r"over \S+ lines of log"),
    (f"{CODE}\n{QUESTION}", r"over \S+ lines of Python"),
    (f"```python\n{CODE}```\n{QUESTION}", r"over \S+ lines of Python"),
    (f'{{"items": [{ITEMS}]}}\n\n{QUESTION}', r"JSON of over \S+ characters"),
    ("[\n" + '  {"id": 1},\n' * 4000 + f"]\n\n{QUESTION}", r"over \S+ lines of JSON"),
    ("> This is a line of the mail.\n" * 2000 + f"\n{QUESTION}", r"a quoted text of over \S+ words"),
    (f"<report>{FILLER * 1000}</report>\n{QUESTION}", r"a report of over \S+ words"),
    (f"{QUESTION}\n\n{DIFF}", r"a diff"),
    # one side only: more of it may stand in what was left out
    (f"{CSV}\n{FILLER * 400}\n{QUESTION}", r"\S+ words, a table of over \S+ rows"),
    (f"{FILLER * 400}\n{CSV}\n{QUESTION}", r"\S+ words, a table of over \S+ rows"),
    (f"{LOG}\n{MARKDOWN}\n{QUESTION}", r"over \S+ lines of log, a table of over \S+ rows"),
    # away from the cut: seen whole
    (f"{SMALL}\n\n{FILLER * 1000}\n{QUESTION}", r"\S+ words, a table of 14 rows"),
    (f"{FILLER * 1000}\n\n{SMALL}\n\n{QUESTION}", r"\S+ words, a table of 14 rows"),
    (f"```python\nx = 1\n```\n{FILLER * 1000}\n{QUESTION}", r"\S+ words, 1 line of Python"),
    (f"{DIFF[:90]}\n{FILLER * 1000}\n{QUESTION}", r"\S+ words, a diff of 1 file"),
    # the same, of a text without a cut
    (f"{SMALL}\n\n{QUESTION}", r"a table of 14 rows"),
]


@pytest.mark.parametrize(("text", "details"), LONG)
def test_what_goes_on_over_the_cut_is_one_piece(text: str, details: str) -> None:
    line = line_of(text)
    assert line.startswith(f"{ANSWERING} ("), line
    assert re.fullmatch(details, line[len(ANSWERING) + 2 : -1]), line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{QUESTION}\n\n{JAVA}", "Fixing a Java stack trace: StackOverflowError in com.acme.Users.load"),
        (f"{QUESTION}\n\n{PYTHON}", "Fixing a Python traceback: RecursionError in load"),
    ],
)
def test_a_trace_goes_on_over_the_cut(text: str, line: str) -> None:
    assert len(text) > HEAD + TAIL
    assert line_of(text) == line


@given(shift=st.integers(0, 200))
@settings(max_examples=60)
def test_blocks_of_code_end_where_they_do_wherever_the_cut_falls(shift: int) -> None:
    """What stands between and behind them is never taken for code, nor code for words."""
    line = line_of("x" * shift + f"\n{BLOCKS}{QUESTION}")
    assert line.startswith("Answering: "), line
    assert QUESTION in line, line
    assert re.search(r", (over )?[\d,]+ lines of (Python|code)\)$", line), line


ROWS: dict[str, tuple[Callable[[int], str], str]] = {
    "csv": (lambda at: f"{at},Ann,3\n", "a table of {}rows"),
    "ragged csv": (lambda at: f'{at},"Smith, Ann",{at % 3 or ""}\n', "a table of {}rows"),
    "tabs": (lambda at: f"{at}\tAnn\t3\n", "a table of {}rows"),
    "markdown": (lambda at: f"| {at} | Ann |\n", "a table of {}rows"),
    "log": (lambda at: f"12:00:00 line {at} of the log\n", "{}lines of log"),
    "json": (lambda at: f'  "key{at}": 1,\n', "{}lines of JSON"),
    "code": (lambda at: f"    call({at})\n", "{}lines of code"),
}
HEADERS = {"csv": 1, "ragged csv": 1, "tabs": 1, "markdown": 1}


@pytest.mark.parametrize("kind", ROWS)
@given(count=st.integers(3, 4000), shift=st.integers(0, 60), first=st.booleans())
@settings(max_examples=25)
def test_a_count_is_exact_or_over(kind: str, count: int, shift: int, first: bool) -> None:
    make, words = ROWS[kind]
    parts = ["x" * shift + QUESTION, lines(make, count)]
    text = "\n\n".join(parts if first else parts[::-1])
    counted = words.format(r"(over )?([\d,]+) ").replace("rows", "rows?")
    found = re.search(rf'" \({counted}\)$', line_of(text))
    assert found, line_of(text)
    number = int(found[2].replace(",", ""))
    whole = count - HEADERS.get(kind, 0)
    if len(text) <= HEAD + TAIL:
        assert (found[1], number) == (None, whole)
    else:
        assert found[1] == "over "
        assert number < whole


JOINED = [
    ("a\nb", "c\nd", f"a{CUT}\nd"),
    ("a\n", "\nd", f"a{CUT}\nd"),
    ("a \n\n\n", "c\n\nd", f"a{CUT}\n\nd"),
    # lines too long to leave out what came of them
    ("a" * LINE, "d" * LINE, "a" * LINE + CUT + "d" * LINE),
    ("a" * LINE, "c\nd", "a" * LINE + f"{CUT}\nd"),
    ("a\n" + "b" * (LINE - 1), "d" * LINE, f"a{CUT}\n" + "d" * LINE),
    ("a\n" + "b" * LINE, "d" * LINE, "a\n" + "b" * LINE + CUT + "d" * LINE),
    # fences
    ("```py\na\nb", "c\nd\n```", f"```py\na{CUT}\nd\n```"),
    ("```py\na\n```\nb", "c\nd", f"```py\na\n```{CUT}\nd"),
    ("~~~\na\nb", "c\nd", f"~~~\na{CUT}\n~~~\nd"),
    ("```\na\nb", "c\nd\n```py\ne", f"```\na{CUT}\n```\nd\n```py\ne"),
    ("a\nb", "c\nd\n```\ne", f"a{CUT}\n```\n{CUT}d\n```\ne"),
    ("a\nb", "c\nd\n```py\ne", f"a{CUT}\nd\n```py\ne"),
]


@pytest.mark.parametrize(("head", "tail", "text"), JOINED)
def test_the_cut(head: str, tail: str, text: str) -> None:
    assert joined_at_cut(head, tail) == text
    assert over(text) == "over "
    assert over(text.replace(CUT, "")) == ""


def test_the_mark_is_seen_by_nobody() -> None:
    assert line_of(f"a{CUT}b") == 'Processing: "ab"...'
    table = f"1,2,3{CUT}\n" + "4,5,6\n" * 8 + f"\n{QUESTION}"
    assert line_of(table) == f"{ANSWERING} (a table of 8 rows)"
    assert CUT not in find_material(f"{FILLER}{CUT}\n{FILLER}").words
    text = prompt_text([{"role": "user", "content": f"{QUESTION}\n{FILLER * 2000}"}])
    assert text.startswith(QUESTION)
    assert CUT not in text


TEXTS = ["word ", "\n", "\n\n", "```\n", "```py\n", "~~~\n", "| a |\n", "a,b,c\n", "> q\n", "x = 1\n", '"a": 1,\n', "<doc>", "</doc>",
         "--- a/x\n", "+y\n", "12:00:00 x\n", "Traceback (most recent call last):\n", "  File x\n", CUT, "Do it. ", "请。", "z" * LINE]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.integers(1, 4000)), min_size=1, max_size=8))
@settings(max_examples=50)
def test_of_any_long_text_the_line_is_short_and_without_the_mark(pieces: list[tuple[str, int]]) -> None:
    line = line_of("".join(text * min(count, 2 * HEAD // len(text)) for text, count in pieces))
    assert 0 < len(line) <= 300
    assert CUT not in line
