"""The interactive client, its lines from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client import main
from tests.client.messages import user
from tests.client.scripted import GOOD, OK_HEAD, cut_after, interrupt, serving, streaming, until_shown

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

SESSION = '''\
one

/system Be brief.
/model other
"""two

three"""
/clear
/system
/help
/nonsense
"""/bye"""
/bye
never
'''


def test_a_conversation(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    typed(SESSION)
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--interactive", "--prompt", "zero"]) == 0
    told = capsys.readouterr()
    answered = {"role": "assistant", "content": "The answer is 4."}
    assert [body["messages"] for body in server.bodies] == [
        [user("zero")],
        [user("zero"), answered, user("one")],
        [
            {"role": "system", "content": "Be brief."},
            user("zero"),
            answered,
            user("one"),
            answered,
            user("two\n\nthree"),
        ],
        [user("/bye")],
    ]
    assert [body["model"] for body in server.bodies] == ["default", "default", "other", "other"]
    assert told.out == "The answer is 4.\n" * 4
    assert "/clear         forget the conversation\n" in told.err
    assert "'/nonsense' is not understood" in told.err


def test_ctrl_c_stops_the_answer_and_keeps_the_session(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("long\nand?\n")
    half = cut_after(GOOD, "The answer")
    shown = until_shown("The answer")
    with serving([interrupt, 20.0], [OK_HEAD, half, shown, interrupt, 20.0], [OK_HEAD, GOOD]) as server:
        assert main(["--url", server.url, "--interactive", "--prompt", "first"]) == 0
        assert server.left.wait(5)
    told = capsys.readouterr()
    assert server.bodies[2]["messages"] == [
        user("long"),
        {"role": "assistant", "content": "The answer"},
        user("and?"),
    ]
    assert told.err.count("stopped by Ctrl-C") == 2
    assert told.out == "The answer\nThe answer is 4.\n"
