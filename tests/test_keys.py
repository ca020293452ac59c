"""The command that makes, lists and revokes client keys."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from trio_gateway.__main__ import main
from trio_gateway.core.access.shown_key import find_key
from trio_gateway.core.config.keyfile import ClientKey, parse_keys
from trio_gateway.core.config.settings import load_settings
from trio_gateway.server.load_settings import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
OWN = [sys.executable, "-m", "trio_gateway"]
A, B, C = (sha256(name.encode()).hexdigest() for name in "abc")


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_CONFIG", "GATEWAY_API_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def parsed(file: Path) -> dict[str, ClientKey]:
    return {key.id: key for key in parse_keys(file.read_text(encoding="utf-8"), str(file))}


def environ(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}} | more


def run(
    *words: str, command: Sequence[str] = OWN, stdout: int | IO[str] = subprocess.PIPE, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        cwd=ROOT,
        env=environ(**more),
        check=False,
    )


# --- add


def test_a_new_key_opens_what_it_was_made_for(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--models", "a,org/b#1", "--rpm", "60", "--tpm", "1000", "--concurrent", "2"]
    assert main(["keys", "add", "bob.2", *limits, "--metrics", "--file", str(file)]) == 0
    shown, told = capsys.readouterr()
    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}\n", shown)
    key = parsed(file)["bob.2"]
    assert key == ClientKey(
        id="bob.2",
        sha256=sha256(shown.strip().encode()).digest(),
        models=("a", "org/b#1"),
        rpm=60,
        tpm=1000,
        concurrent=2,
        metrics=True,
    )
    assert shown.strip() not in file.read_text() + told
    assert file.stat().st_mode & 0o7777 == 0o600
    assert "only now" in told
    assert "SIGHUP" in told
    assert f"{file} is new" in told


def test_the_key_is_good_until_it_expires(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--expires", "2030-01-31T12:00:00+02:00", "--file", str(file)]
    assert main(["keys", "add", "a", *options]) == 0
    shown, told = capsys.readouterr()
    expires = parsed(file)["a"].expires
    assert expires is not None
    assert expires.isoformat() == "2030-01-31T12:00:00+02:00"
    assert find_key(parsed(file).values(), shown.strip(), expires.replace(year=2029)) is not None
    assert "expired" not in told
    assert main(["keys", "add", "b", "--expires", "2020-01-01T00:00:00Z", "--file", str(file)]) == 0
    assert "has expired already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "new\n"),
        ("# mine\n\n", "# mine\n\nnew\n"),
        (f"b {B}\n# c follows\nc {C} rpm=1 # c", f"b {B}\n# c follows\nc {C} rpm=1 # c\nnew\n"),
        (f"b {B}\r\nc {C}\r\n", f"b {B}\r\nc {C}\r\nnew\r\n"),
        (f"b {B}\r\nc {C}", f"b {B}\r\nc {C}\r\nnew\r\n"),
        (f"b {B}\rc {C}\r", f"b {B}\rc {C}\rnew\n"),  # lines to the server as well
    ],
)
def test_what_stands_there_stays(file: Path, before: str, after: str) -> None:
    file.write_bytes(before.encode())
    file.chmod(0o644)
    assert main(["keys", "add", "a", "--file", str(file)]) == 0
    assert re.sub(rb"a [0-9a-f]{64}", b"new", file.read_bytes()) == after.encode()
    assert file.stat().st_mode & 0o7777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["b"], 'keys add: id: expected one that no other line has, found "b" again'),
        (["a/b"], "keys add: id: expected 1 to 64 letters"),
        ([""], "keys add: id: expected printable text"),
        (["#a"], "keys add: id: expected printable text"),
        ([f"x {A}\na"], "keys add: id: expected printable text"),
        (
            ["a", "--rpm", "0"],
            "keys add: --rpm: expected a whole number from 1 to 999999999, or no --rpm for no limit, found 0\n",
        ),
        (
            ["a", "--tpm", "-5"],
            "keys add: --tpm: expected a whole number from 1 to 999999999, or no --tpm for no limit, found -5\n",
        ),
        (
            ["a", "--tpm", "1.5"],
            "keys add: --tpm: expected a whole number from 1 to 999999999, or no --tpm for no limit, found 1.5\n",
        ),
        (
            ["a", "--rpm", "1000000000"],
            "keys add: --rpm: expected a whole number from 1 to 999999999, or no --rpm for no limit, found 1000000000\n",
        ),
        (
            ["a", "--concurrent", "many"],
            "keys add: --concurrent: expected a whole number from 1 to 999999999, or no --concurrent for no limit, found another text\n",
        ),
        (
            ["a", "--concurrent", ""],
            "keys add: --concurrent: expected a whole number from 1 to 999999999, or no --concurrent for no limit, found nothing\n",
        ),
        (["a", "--models", "x,,y"], "keys add: --models: expected ids parted by commas"),
        (["a", "--models", ""], "keys add: --models: expected ids parted by commas"),
        (["a", "--models", "x, y"], "keys add: --models: expected printable text"),
        (["a", "--models", "x #", "--rpm", "1"], "keys add: --models: expected printable text"),
        (["a", "--models", f"x\ny {A}"], "keys add: --models: expected printable text"),
        (["a", "--models", "x\u2028y"], "keys add: --models: expected printable text"),
        (["a", "--expires", "tomorrow"], "keys add: --expires: expected an instant"),
    ],
)
def test_what_makes_no_good_line(
    file: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"b {B}\n"
    file.write_text(text)
    assert main(["keys", "add", *words, "--file", str(file)]) == 2
    shown, line = capsys.readouterr()
    assert (shown, line.count("\n"), file.read_text()) == ("", 1, text)
    assert line.startswith(told)
    file.unlink()
    if words != ["b"]:
        assert main(["keys", "add", *words, "--file", str(file)]) == 2
        assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("words", [["add", "a"], ["list"], ["revoke", "b"]])
@pytest.mark.parametrize("data", [b"# x\nb sk-123\n", b"\xff", f"b {B}\nb {A}\n".encode()])
def test_a_malformed_file_is_left_alone(
    file: Path, words: list[str], data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(data)
    assert main(["keys", *words, "--file", str(file)]) == 2
    shown, line = capsys.readouterr()
    assert (shown, line.count("\n"), file.read_bytes()) == ("", 1, data)
    assert line.startswith(f"{file}:")
    assert "sk-123" not in line


def test_a_link_stays_a_link(file: Path) -> None:
    home = file.parent / "home"
    home.mkdir()
    file.symlink_to("home/keys")
    assert main(["keys", "add", "a", "--file", str(file)]) == 0
    assert file.is_symlink()
    assert set(parsed(home / "keys")) == {"a"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_owner_stays(file: Path) -> None:
    file.touch()
    os.chown(file, 12, 34)
    assert main(["keys", "add", "a", "--file", str(file)]) == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield
    os.close(handle)


def test_of_two_at_once_none_is_lost(file: Path) -> None:
    file.write_text(f"c {C}\n")
    commands = [["add", "a"], ["add", "b"], ["revoke", "c"]]
    with locked(file.parent):
        processes = [
            subprocess.Popen(
                [*OWN, "keys", *words, "--file", str(file)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env=environ(),
            )
            for words in commands
        ]
        with pytest.raises(subprocess.TimeoutExpired):
            processes[0].wait(1.5)  # by now each has come to the lock, and waits
        assert set(parsed(file)) == {"c"}
    assert [process.wait(20) for process in processes] == [0, 0, 0]
    assert set(parsed(file)) == {"a", "b"}


# --- list and revoke


def test_the_list(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(
        f"alice {A}\n# no\nbob {B} expires=2020-01-31T12:00:00Z models=x,\x1b[2Jü rpm=6 tpm=700 concurrent=8\n"
        f"cora {C} expires=9999-12-31T23:59:59-23:59 metrics\n"
    )
    assert main(["keys", "list", "--file", str(file)]) == 0
    shown, told = capsys.readouterr()
    assert told == ""
    assert shown.splitlines() == [
        "id     expires                         models         rpm  tpm  concurrent  metrics",
        "alice  never                           all            -    -    -           no",
        r"bob    2020-01-31T12:00:00Z (expired)  x,\x1b[2J\xfc  6    700  8           no",
        "cora   9999-12-31T23:59:59-23:59       all            -    -    -           yes",
    ]


@pytest.mark.parametrize(
    ("before", "ids", "after"),
    [
        (f"# all\na {A} # first\n\n# second\nb {B} rpm=1\n", ["a"], f"# all\n\n# second\nb {B} rpm=1\n"),
        (f"a {A}\nb {B}", ["b"], f"a {A}\n"),
        (f"a {A}\r\n# b\r\nb {B}\r\nc {C}\r\n", ["c", "a", "c"], f"# b\r\nb {B}\r\n"),
        (f"a {A}\n#b {B}\n", ["a"], f"#b {B}\n"),
        (f"a {A}\n", ["a"], ""),
    ],
)
def test_revoking_takes_lines_and_nothing_else(
    file: Path, before: str, ids: list[str], after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(before.encode())
    assert main(["keys", "revoke", *ids, "--file", str(file)]) == 0
    shown, told = capsys.readouterr()
    assert (shown, told.split("\n")[0]) == ("", f"Revoked: {', '.join(dict.fromkeys(ids))}.")
    assert file.read_bytes() == after.encode()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("alcie", 'expected the id of one of its keys, perhaps alice, found "alcie"'),
        ("zz", 'expected the id of one of its keys, found "zz"'),
        ("a", "expected the id of one of its keys, perhaps alice, found the key itself"),
    ],
)
def test_an_unknown_id_revokes_nobody(
    file: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"alice {A}\nbob {B}\n"
    file.write_text(text)
    assert main(["keys", "revoke", "bob", name, "--file", str(file)]) == 2
    assert capsys.readouterr() == ("", f"{file}: {told}\n")
    assert file.read_text() == text


# --- which file


@pytest.mark.parametrize(
    ("toml", "variables"),
    [
        ("api_keys_file = 'sub/keys'", {}),
        ("api_keys_file = '/{folder}/keys'", {}),
        ("api_keys_file = 'no'", {"GATEWAY_API_KEYS_FILE": "here"}),
        ("api_keys_file = 'sub/keys'", {"GATEWAY_API_KEYS_FILE": ""}),
    ],
)
def test_the_file_is_the_one_the_server_reads(
    tmp_path: Path, toml: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "etc" / "gateway.toml"
    (config.parent / "sub").mkdir(parents=True)
    # A mistake elsewhere is none of this command's: only the server has the variable.
    config.write_text(
        f"[server]\n{toml.format(folder=tmp_path)}\n[upstreams.main]\nurl = 'http://x'\napi_key_env = 'ONLY_THERE'"
    )
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["--config", str(config), "keys", "add", "first"]) == 0
    assert main(["keys", "add", "second", "--config", str(config)]) == 0
    monkeypatch.setenv("GATEWAY_CONFIG", str(config))
    assert main(["keys", "add", "third"]) == 0
    settings = load_settings({**os.environ, "ONLY_THERE": "k"}, read_text=read_text)
    assert [key.id for key in settings.client_keys or ()] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("", "no key file is named: give --file FILE, or set "),
        ("[server]\napi_keys_file = ''", "no key file is named: "),
        ("[server]\napi_keys_file = 7", "{config}: server.api_keys_file: expected a string"),
        ('[server]\napi_keys_file = "a\\u0000"', "{config}: server.api_keys_file: expected a string"),
        ("server = 1", "{config}: server: expected a table"),
        ("server", "{config}: line 1: expected TOML"),
        ("# \udcff", "{config}: expected UTF-8 text"),
    ],
)
def test_a_configuration_that_names_none(
    tmp_path: Path, toml: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_bytes(toml.encode("utf-8", "surrogateescape"))
    assert main(["--config", str(config), "keys", "list"]) == 2
    shown, line = capsys.readouterr()
    assert (shown, line.count("\n")) == ("", 1)
    assert line.startswith(told.format(config=config))


def test_an_empty_name_is_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS_FILE", str(file))
    assert main(["keys", "add", "a", "--file", ""]) == 2
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        (["list"], "none", 1),
        (["revoke", "a"], "none", 1),
        (["add", "a"], "none/keys", 1),
        (["add", "a"], "text/keys", 1),
        (["list"], "folder", 1),
        (["add", "a"], "folder", 2),
        (["revoke", "a"], "pipe", 2),
    ],
)
def test_what_cannot_be_read_or_written(
    tmp_path: Path, words: list[str], name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert main(["keys", *words, "--file", str(tmp_path / name)]) == code
    shown, line = capsys.readouterr()
    assert (shown, line.count("\n")) == ("", 1)
    assert line.startswith(f"{tmp_path / name}: ")
    assert len(list(tmp_path.iterdir())) == 3


# --- as a process


def test_a_key_from_beginning_to_end(file: Path) -> None:
    added = run("keys", "add", "alice", "--rpm", "5", GATEWAY_API_KEYS_FILE=str(file))
    assert (added.returncode, added.stdout.count("\n")) == (0, 1)
    assert find_key(parsed(file).values(), added.stdout.strip(), datetime.now(UTC)) is not None
    assert "name it to the gateway" not in added.stderr  # it is named already
    assert run("--check-config", GATEWAY_API_KEYS_FILE=str(file)).returncode == 0
    listed = run("keys", "list", "--file", str(file))
    assert re.search(r"^alice +never +all +5 ", listed.stdout, re.MULTILINE)
    assert parsed(file)["alice"].sha256.hex() not in listed.stdout
    revoked = run("keys", "revoke", "alice", "--file", str(file))
    assert (revoked.returncode, revoked.stdout, file.read_text()) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("words", [["add", "b"], ["list"]])
def test_a_stdout_that_takes_nothing(file: Path, words: list[str]) -> None:
    file.write_text(f"a {A}\n")
    with open("/dev/full", "w") as full:
        done = run("keys", *words, "--file", str(file), stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "could not be shown" in done.stderr


def test_a_disk_that_takes_nothing(file: Path) -> None:
    file.write_text(f"a {A}\n")
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *OWN]
    done = run("keys", "add", "b", "--file", str(file), command=limited)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{file}: ")
    assert file.read_text() == f"a {A}\n"
    assert list(file.parent.iterdir()) == [file]


def test_it_is_quick(file: Path) -> None:
    file.touch()
    program = (
        "import sys; from trio_gateway.__main__ import main; main(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'quart', 'hypercorn', 'httpx', 'trio', 'rich'})"
    )
    done = run("keys", "list", "--file", str(file), command=[sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [""]


@pytest.mark.parametrize("words", [[], ["keys"], ["keys", "add"], ["keys", "list"], ["keys", "revoke"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(" ".join(["usage: trio-gateway", *words]))
    if not words:
        assert re.search(r"--check-config.*\n(.*\n)*.*\bkeys\b", text)


@pytest.mark.parametrize("words", [["keys"], ["keys", "add"], ["keys", "revoke"], ["keys", "sell", "a"]])
def test_half_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: trio-gateway keys" in capsys.readouterr().err


def test_the_help_in_the_docs_is_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["keys", "add", "--help"])
    shown = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    assert f"```text\n{capsys.readouterr().out}```\n" in shown
