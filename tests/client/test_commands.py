"""The commands that ask again, change, copy and list; files that go along; what is kept between sessions."""

from __future__ import annotations

import base64
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from client import main
from tests.client.messages import user
from tests.client.scripted import GOOD, http, serving, streaming
from trio_gateway.terminal.attachments import MAX_FILE, AttachmentError, attach, read_attachment
from trio_gateway.terminal.commands import candidates
from trio_gateway.terminal.received import AnswerFormError
from trio_gateway.terminal.session_files import MAX_LINES, SessionFiles
from trio_gateway.terminal.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANSWERED = {"role": "assistant", "content": "The answer is 4."}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "trio-gateway"


def hold(lines: str, typed: Callable[[str], None], *more: str) -> list[list[dict[str, Any]]]:
    """The messages that were sent in a conversation of *lines*."""
    typed(lines)
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "--interactive", *more]) == 0
    return [body["messages"] for body in server.bodies]


@pytest.mark.parametrize("leave", ["/bye", "/exit", "/quit"])
def test_leaving(leave: str, typed: Callable[[str], None]) -> None:
    assert hold(f"{leave}\nnever\n", typed) == []


def test_retry_takes_the_place_of_the_last_turn(typed: Callable[[str], None]) -> None:
    asked = hold("/retry\none\ntwo\n/retry\n/?\n", typed)
    assert asked == [[user("one")], *[[user("one"), ANSWERED, user("two")]] * 2]


def test_retry_after_an_answer_that_failed(typed: Callable[[str], None]) -> None:
    typed("one\ntwo\n/retry\n")
    failed = [http("503 X", {"error": {"message": "no"}})]
    good = [http("200 OK", {"choices": [{"message": {"content": "The answer is 4."}}]})]
    with serving(good, failed, good) as server:
        assert main(["--url", server.url, "--interactive", "--no-stream"]) == 0
    assert (
        server.bodies[2]["messages"] == server.bodies[1]["messages"] == [user("one"), ANSWERED, user("two")]
    )


@pytest.mark.parametrize(
    ("editor", "asked"),
    [
        ("sed -i s/one/1/", [[user("one")], [user("1")]]),
        ("sed -i d", [[user("one")]]),
        ("false", [[user("one")]]),
        ("/no/such/editor", [[user("one")]]),
        ("'", [[user("one")]]),
    ],
)
def test_edit(
    editor: str, asked: object, typed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    assert hold("one\n/edit\n", typed) == asked


def test_edit_keeps_the_images(
    typed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/one/1/")
    (tmp_path / "a.png").write_bytes(PNG)
    first, second = hold("/edit\n", typed, "--prompt", "one", "-a", str(tmp_path / "a.png"))
    assert first[0]["content"][0] == {"type": "text", "text": "one"}
    assert second[0]["content"] == [{"type": "text", "text": "1"}, first[0]["content"][1]]


def test_copy_needs_a_terminal(typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    hold("/copy\none\n/copy\n", typed)
    told = capsys.readouterr()
    assert "There is no answer yet." in told.err
    assert "There is no terminal" in told.err
    assert "\x1b" not in told.out + told.err


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (http("200 OK", {"data": [{"id": "a"}, {"id": "default"}, {"id": "e\x1b[2Jvil"}]}), "  a\n* default\n  e[2Jvil\n"),
        (http("401 X", {"error": {"message": "no key"}}), "error: no key (status 401)\n"),
        (http("200 OK", b"<html>"), "error: this is not an answer of the gateway: "),
    ],
)  # fmt: skip
def test_models(
    answer: bytes, shown: str, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("/models\n")
    with serving([answer]) as server:
        assert main(["--url", server.url, "--interactive"]) == 0
    assert server.heads[0].startswith("GET /v1/models ")
    assert shown in capsys.readouterr().err


def test_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "talk.json").touch()
    (tmp_path / "talks").mkdir()
    assert candidates("/mod", []) == ["/model", "/models"]
    assert candidates("/ex", []) == ["/exit"]
    assert candidates("mod", []) == candidates("what is", ["x"]) == []
    assert candidates("/model a", ["ab", "b", "a/c d"]) == ["/model ab", "/model a/c d"]
    assert candidates("/load ~/ta", []) == ["/load ~/talk.json", "/load ~/talks/"]
    assert candidates(f"/save {tmp_path}/talk.", []) == [f"/save {tmp_path}/talk.json"]


# --- Prompts and files


def test_a_prompt_by_position(typed: object) -> None:
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "2+2?"]) == 0
        with pytest.raises(SystemExit, match="2"):
            main(["--url", server.url, "2+2?", "--prompt", "3+3?"])
    assert [body["messages"] for body in server.bodies] == [[user("2+2?")]]


def test_files_go_along(typed: object, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.md").write_text("# B\n```\ncode\n```\n", encoding="utf-8-sig")
    with streaming(GOOD) as server:
        assert main(["--url", server.url, "x", "-a", f"{tmp_path}/a.png", "-a", f"{tmp_path}/b.md"]) == 0
    text, image = server.bodies[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "x\n\nb.md:\n````\n# B\n```\ncode\n```\n````"}
    kind, _, data = image["image_url"]["url"].partition(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", PNG)


def test_a_text_file_alone_is_text(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("x", encoding="utf-8")
    assert attach("", [read_attachment(str(tmp_path / "b"))]) == "b:\n```\nx\n```"


def test_files_that_cannot_go_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE + 1))
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    for name, why in (
        ("none", "No such file"),
        ("large", "is larger than 16 MiB"),
        ("binary", "neither an image"),
    ):
        with pytest.raises(AttachmentError, match=why):
            read_attachment(str(tmp_path / name))
    with pytest.raises(SystemExit, match="2"):
        main(["-a", str(tmp_path / "none"), "x"])
    assert "No such file" in capsys.readouterr().err


# --- What is kept


def test_the_last_conversation_goes_on(
    typed: Callable[[str], None], state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with streaming(GOOD) as server:
        ask = ["--url", server.url]
        assert main([*ask, "zero"]) == 0
        assert not state.exists()  # a program's question
        assert main([*ask, "-c", "--model", "m", "--system", "Be brief.", "one"]) == 0
        assert "There is no last conversation" in capsys.readouterr().err
        assert main([*ask, "-c", "two"]) == 0
        assert main([*ask, "-c", "--no-history", "--model", "n", "three"]) == 0
        typed("/retry\n")
        assert main([*ask, "-c", "--interactive"]) == 0
    brief = {"role": "system", "content": "Be brief."}
    before = [brief, user("one"), ANSWERED]
    assert [(body["model"], body["messages"]) for body in server.bodies[1:]] == [
        ("m", [brief, user("one")]),
        ("m", [*before, user("two")]),
        ("n", [*before, user("two"), ANSWERED, user("three")]),
        ("m", [*before, user("two")]),
    ]
    assert stat.S_IMODE((state / "last.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert "4 messages so far" in capsys.readouterr().err


def test_history_is_kept_and_bounded(state: Path) -> None:
    kept = SessionFiles(enabled=True)
    assert kept.lines() == []
    for line in "one", "two\nlines \x1b[2J\u202e", " ":
        kept.add_line(line)
    path = state / "history.jsonl"
    assert path.read_bytes().isascii()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("ab") as file:
        file.write(b'"half a li\n\xff\n')
    assert SessionFiles(enabled=True).lines() == ["one", "two\nlines \x1b[2J\u202e"]
    path.write_text("".join(f'"{number}"\n' for number in range(3 * MAX_LINES)), encoding="utf-8")
    assert SessionFiles(enabled=True).lines()[-1] == f"{3 * MAX_LINES - 1}"
    assert len(path.read_bytes().splitlines()) == MAX_LINES


def test_nothing_is_kept_without_history_or_where_it_cannot_be(tmp_path: Path, state: Path) -> None:
    none = SessionFiles(enabled=False)
    none.add_line("x")
    none.keep({})
    assert not state.exists()
    assert none.lines() == []
    state.parent.write_text("no folder")
    blocked = SessionFiles(enabled=True)
    blocked.add_line("x")
    blocked.keep({})
    assert blocked.lines() == []


def test_a_relative_state_folder_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert SessionFiles(enabled=True).last == tmp_path / ".local/state/trio-gateway/last.json"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    SessionFiles(enabled=True)


@pytest.mark.parametrize("saved", [b"", b"[]", b'{"messages": [{"role": 1}]}', b'{"messages": 1}'])
def test_what_is_no_conversation(saved: bytes) -> None:
    talk = Transcript("m", None, [{"role": "user", "content": "x"}])
    with pytest.raises(AnswerFormError):
        talk.load(saved)
    assert talk.question == "x"


def test_a_saved_conversation_with_images_is_loaded() -> None:
    talk = Transcript("m", None)
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    saved = [{"role": "system", "content": [parts[0]]}, {"role": "user", "content": parts}]
    talk.load(json.dumps({"messages": saved}).encode())
    assert (talk.system, talk.question, talk.answer) == ("x", parts, "")
    talk.retract()
    assert talk.question is None
