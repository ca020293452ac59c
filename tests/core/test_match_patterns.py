"""Patterns of the configuration that could take exponential time are refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import settings
from trio_gateway.core.config.families import DEFAULT_MODELS
from trio_gateway.core.config.match_patterns import expectation_missed
from trio_gateway.core.config.settings import ConfigError

GOOD = [
    "",
    "^qwen3",
    "gpt-4(?:-\\d+)?$",
    "^(?:llama|mistral)-?[0-9]+b$",
    "[a-z0-9.-]+/.*-instruct",
    "(?:-[a-z])*",
    "(?:-[a-z]{2})+x",
    "(?:(?:ab){2}c)*",
    "(?:gpt|lm|o1)+",
    "(?:a|[ab])+$",
    "(?:é|ü)+",
    "(?:a|b)*",
    "(?:ab|cd|[e-g]h)+",
    "(?:(?:a|bc)d|ef)+",
    "(?:(a)b|(?>c)d)+",
    "(?>x|yz)+",
    "(?=a+)b+",
    "(?:(?=a)[ab])+",
    "(?:^a|b$)+",
    "a++b*+",
    "(?:(?:a+)b)?",
    "(a)(?(1)b+|c)",
    "(?:a{2}|b)+",
]
NESTED = [
    "(a+)+$",
    "(?:a*)*",
    "(?:a+?)+?",
    "(?:a+b*)+",
    "(?:x|a+)*",
    "(?:(?:(a?)))+",
    "(?:a{1,3}){2,}",
    "(?:a{2,})+",
    "(?=(?:a+)+b)c",
    "(?<!x)(?!(?:a*)*)",
    "(?:(?=a+)a)+",
    "(?>(?>a+)+)",
    "(?:a++)++",
    "((?:ab?)+)",
    "(a)(?(1)(?:b+)+|c)",
    "(?:a|a)*",
    "(?:a|aa)+",
    "(?:gpt|glm|o1)+",
    "(?:ab|[a-z]c)+",
    "(?:\\d|1x)+",
    "(?:.|x)*",
    "(?:A|[^b])*",
    "(?:a||b)+",
    "(?:(?=a)|b)*",
    "(?:(?:ax|[ab]y){2})+",
    "(?:(?:b|)a|c)+",
    "(?:\\ba|b)(?:(?<=x)y|z)+",
    "(a)(?:\\1)+",
    "(?:éx|üy)+",
]
BROKEN = ["(", "*", "a{2,1}", "(" * 5000 + "a" + ")" * 5000, "a{99999999999}"]


@pytest.mark.parametrize("pattern", [*GOOD, *(model.match for model in DEFAULT_MODELS.values())])
def test_usual_patterns_pass(pattern: str) -> None:
    assert expectation_missed(pattern) is None


@pytest.mark.parametrize("pattern", NESTED)
def test_what_can_be_divided_in_two_ways_is_refused(pattern: str) -> None:
    assert "no repeat contains a repeat" in (expectation_missed(pattern) or "")


@pytest.mark.parametrize("pattern", BROKEN)
def test_what_is_no_pattern(pattern: str) -> None:
    assert expectation_missed(pattern) == "a regular expression"


def test_the_gateway_does_not_start_with_one() -> None:
    with pytest.raises(ConfigError) as caught:
        settings('[models.mine]\nmatch = "(a+)+$"\n')
    assert str(caught.value) == (
        "gateway.toml: models.mine.match: expected a regular expression in which no repeat contains a repeat, "
        'or alternatives that begin alike, found "(a+)+$"'
    )


PIECES = st.sampled_from(
    ["a", "b", "[ab]", ".", "ab", "(?:a|b)", "(?:a|ab)", "(?:a|)", "a?", "b+", "(?:ba|c)", "\\w", "(?=a)"]
)
patterns = st.lists(
    st.tuples(PIECES, st.sampled_from(["", "+", "*", "{2}", "?"])).map(
        lambda pair: f"(?:{pair[0]}){pair[1]}"
    ),
    min_size=1,
    max_size=2,
).map("".join)


@given(patterns, st.sampled_from(["", "+", "*"]), st.text("ab", max_size=4))
def test_what_passes_is_quick_on_the_longest_ids(pattern: str, repeat: str, pump: str) -> None:
    pattern = f"^(?:{pattern}){repeat}$"
    if expectation_missed(pattern):
        return
    text = (pump or "a") * 256
    since = time.thread_time()
    re.search(pattern, text[:255] + "!", re.IGNORECASE)
    assert time.thread_time() - since < 0.5
