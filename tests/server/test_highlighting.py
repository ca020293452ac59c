"""Code as nodes: the text is what the model wrote, whatever is coloured in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.server.rendering.highlighting import MAX_CODE, highlight

if TYPE_CHECKING:
    from trio_gateway.server.rendering.tree import Node


def text_of(nodes: list[Node]) -> str:
    return "".join(node if isinstance(node, str) else text_of(list(node[2])) for node in nodes)


@pytest.mark.parametrize(
    ("code", "language", "nodes"),
    [
        ("", "python", []),
        ("", "", []),
        ("x = 1", "", ["x = 1"]),
        ("x = 1", "no such language", ["x = 1"]),
        ("# a\n", "python", [["span", {"class": "c"}, ["# a\n"]]]),
        ("if x:", "python", [["span", {"class": "k"}, ["if "]], "x:"]),
        ("-a\n+b\n", "diff", [["span", {"class": "del"}, ["-a\n"]], ["span", {"class": "ins"}, ["+b\n"]]]),
        ("1" * (MAX_CODE + 1), "python", ["1" * (MAX_CODE + 1)]),
    ],
)
def test_nodes(code: str, language: str, nodes: list[Node]) -> None:
    assert highlight(code, language) == nodes


@given(st.text("a1 \n\t\"'#<>(){}=é", max_size=60), st.sampled_from(["python", "json", "html", "bash", "x"]))
def test_nothing_is_lost_or_added(code: str, language: str) -> None:
    assert text_of(highlight(code, language)) == code
