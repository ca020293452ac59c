"""The lines of a prompt by their kind."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.prompt_lines import LOOKED_AT, Kind, line_runs
from trio_gateway.core.summary.steps import at_once

LINES: list[tuple[str, Kind | None]] = [
    ("words", None),
    ("> quoted", "quote"),
    (">", None),
    ("| a | b |", "table"),
    ("|", None),
    ("a\tb\tc", "table"),
    ("a\tb", None),
    ("a,b,c", "table"),
    ("a, b, c", None),
    ("a,,c", "table"),
    (",,c", "table"),
    ("a,b,", "table"),
    ('1,"Smith, Ann",3', "table"),
    ('"Smith, Ann",2,3', "table"),
    ('1,"a ""b"", c",3', "table"),
    ('1,"a" b,3', "table"),
    ('1,"a,b', "table"),
    ('a,"b,c"', None),
    ('a,"b, c', None),
    ("," + "x" * 41 + ",", "table"),
    ("," + "x" * 42 + ",", None),
    ("2024-01-01 10:00:00 x", "log"),
    ("[10:00:00] x", "log"),
    ("Jan  5 10:00:00 x", "log"),
    ("ERROR x", "log"),
    ('"a": 1', "data"),
    ("[1", "data"),
    ("{", "data"),
    ("},", "data"),
    ("def f(x)", "code"),
    ("if x:", "code"),
    ("so this:", None),
    ("x = 1", "code"),
    ("x();", "code"),
    ("</div> x", "code"),
    ("    indented", "code"),
    ("\tindented", "code"),
    ("   indented", None),
    # of a long line both ends are looked at
    ("def " + "x" * 10_000, "code"),
    ("x" * 10_000 + ";", "code"),
    ("|" + "x" * 10_000 + "|", "table"),
    ("x" * LOOKED_AT + "\t\t" + "x" * LOOKED_AT, None),
]


@pytest.mark.parametrize(("line", "kind"), LINES)
def test_kinds(line: str, kind: Kind | None) -> None:
    runs = at_once(line_runs("\n".join(["Words.", *[line] * 3, "Words."])))
    assert runs == (
        [(None, ["Words."]), (kind, [line] * 3), (None, ["Words."])]
        if kind
        else [(None, ["Words.", *[line] * 3, "Words."])]
    )


def test_runs() -> None:
    text = "x = 1\n\nx = 2\nx = 3\n> q\n> q\n{" + "1," * 200 + "\nwords\n"
    assert at_once(line_runs(text)) == [
        ("code", ["x = 1", "x = 2", "x = 3"]),
        (None, ["> q", "> q"]),
        ("data", ["{" + "1," * 200]),
        (None, ["words"]),
    ]
    assert at_once(line_runs("")) == []
