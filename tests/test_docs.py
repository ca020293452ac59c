"""The documents are true: what they show is run, and their tables are compared with the code."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.documents import DOCS, ROOT, blocks, sections, text_of
from tests.running import OWN, running
from tests.support import FAST, chat, open_mock, open_pair
from trio_gateway import load_settings
from trio_gateway.core.config.schema import (
    BreakerConfig,
    ModelConfig,
    ServerConfig,
    SummaryConfig,
    UpstreamConfig,
)
from trio_gateway.core.errors import CODES
from trio_gateway.core.summary import ReasoningSummary
from trio_gateway.mock import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

GATEWAY = "http://localhost:8080"


async def run_python(source: str) -> str:
    with trio.fail_after(60):
        done = await trio.run_process([sys.executable, "-c", source], capture_stdout=True)
    return done.stdout.decode()


# -------------------------------------------------------------------------------------------- links


def links() -> Iterator[tuple[str, str]]:
    for page in [*DOCS.glob("*.md"), *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if not re.match(r"https?:", target):
                yield str(page.relative_to(ROOT)), target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(("page", "target"), sorted(set(links())))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists()
    assert not anchor or anchor in anchors(file)


def test_the_index_names_every_document() -> None:
    named = set(re.findall(r"^\| \[.*?\]\(([\w./-]+)\)", text_of("README.md"), re.MULTILINE))
    assert {path.name for path in DOCS.iterdir() if path.is_file()} - {"README.md"} <= named


# --------------------------------------------------------------------------------------- quick start

# What each server listens on by default, as its own documents say.
PORTS = {"vllm": 8000, "python -m sglang.launch_server": 30000, "llama-server": 8080, "ollama": 11434}
QUICK = {
    title: commands for title, text in sections("quickstart.md").items() if (commands := blocks(text, "sh"))
}


def test_there_is_one_block_for_each_server() -> None:
    assert list(QUICK) == ["vLLM", "SGLang", "llama.cpp", "Ollama", "A hosted API"]
    assert all(len(commands) == 1 for commands in QUICK.values())


@pytest.mark.parametrize("title", QUICK)
async def test_the_gateway_starts_as_shown_and_answers(title: str) -> None:
    """The model's server is the mock, at a port of its own; all else stands as it is shown."""
    first, second = QUICK[title][0].splitlines()
    variables = dict(re.findall(r"(\w+)=(\S+)", second))
    assert second.endswith(" ./run serve")
    for program, port in PORTS.items():
        if first.startswith(program):
            moved = re.search(r"--port (\d+)", first)
            assert variables["UPSTREAM_URL"] == f"http://localhost:{moved[1] if moved else port}"
    if first.startswith("export"):
        variables["UPSTREAM_API_KEY"] = "secret"
    async with open_mock(FAST) as url:
        variables["UPSTREAM_URL"] = url
        async with (
            running(OWN, **variables) as gateway,
            httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
        ):
            answer = await client.post("/v1/chat/completions", json=chat())
    assert "The answer is 4." in "".join(re.findall(r'"content": "([^"]*)"', answer.text))


# ------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("title", ["In Python", "Over a WebSocket"])
async def test_a_program_shows_the_three_phases(title: str) -> None:
    (source,) = blocks(sections("reading.md")[title], "python")
    async with open_pair() as client:
        told = await run_python(source.replace("localhost:8080", client.base_url.netloc.decode()))
    assert re.fullmatch(
        r'\[Prompt Summary\] Processing: "What is 2\+2\?"\.\.\.\n\n\[Reasoning Summary\] .*\n\nThe answer is 4\.',
        told,
        re.DOTALL,
    )


def test_the_websocket_client_has_about_ten_lines() -> None:
    (source,) = blocks(sections("reading.md")["Over a WebSocket"], "python")
    assert len([line for line in source.splitlines() if line]) <= 11


async def test_a_program_reports_an_error() -> None:
    (source,) = blocks(sections("reading.md")["In Python"], "python")
    for before, after, message in [
        ('{"messages"', '{"n": 9, "messages"', "n: expected an integer"),
        ('{"messages"', '{"model": "fault-500", "messages"', "answered 500: "),
    ]:
        async with open_pair() as client:
            source_now = source.replace("localhost:8080", client.base_url.netloc.decode()).replace(
                before, after
            )
            done = await trio.run_process(
                [sys.executable, "-c", source_now], capture_stdout=True, capture_stderr=True, check=False
            )
        assert done.returncode == 1
        assert message in done.stderr.decode()


async def test_the_loop_of_tools() -> None:
    (source,) = blocks(sections("reading.md")["Tools"], "python")
    async with open_pair() as client:
        told = await run_python(source.replace("localhost:8080", client.base_url.netloc.decode()))
    assert "Sunny" in told


# -------------------------------------------------------------------------------------------- errors


def test_the_table_of_errors_is_the_codes_own() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \| (.+?) \|$", text_of("errors.md"), re.MULTILINE)
    assert [(code, int(status)) for code, status, *_ in rows] == [
        (code or "null", status) for code, (status, _) in CODES.items()
    ]
    assert all(meaning.endswith(".") and remedy.endswith(".") for *_, meaning, remedy in rows)


async def test_the_error_that_is_shown() -> None:
    async with open_pair() as client:
        answer = await client.post("/v1/chat/completions", json={**chat(), "n": 9})
    (shown,) = blocks(text_of("errors.md"), "json")
    assert answer.json() == json.loads(shown)


# ------------------------------------------------------------------------------------- configuration

TABLES: dict[str, type[msgspec.Struct]] = {
    "server": ServerConfig,
    "upstreams.main": UpstreamConfig,
    "upstreams.main.breaker": BreakerConfig,
    "models.default": ModelConfig,
    "summary": SummaryConfig,
}
EXAMPLE = re.compile(r"^# (\w+ = )", re.MULTILINE)


def keys_of_file() -> dict[str, list[tuple[str, str]]]:
    """For each table of docs/gateway.toml its keys, in force or not, with the words about them."""
    keys: dict[str, list[tuple[str, str]]] = {}
    for line in EXAMPLE.sub(r"\1", text_of("gateway.toml")).splitlines():
        if match := re.match(r"\[([\w.]+)\]", line):
            table = keys.setdefault(match[1], [])
        elif match := re.match(r"(\w+) = (?:\"[^\"]*\"|\[.*\]|[^\s#]+) +# (.+)", line):
            table.append((match[1], match[2]))
        else:
            assert not line or line.startswith("#"), line
    return keys


def test_the_configuration_that_is_shown_is_the_default_one() -> None:
    shown = load_settings(DOCS / "gateway.toml", environ={})
    assert shown.config == load_settings(environ={}).config
    assert not shown.warnings


def test_every_key_has_a_line_that_says_what_it_is() -> None:
    keys = keys_of_file()
    assert keys.keys() == TABLES.keys()
    for table, kind in TABLES.items():
        names = [name for name, words in keys[table]]
        assert sorted(names) == sorted(set(kind.__struct_fields__) - {"breaker"})
        assert all(len(words) > 8 for _, words in keys[table])


def test_its_examples_can_be_uncommented(tmp_path: Path) -> None:
    text = EXAMPLE.sub(r"\1", text_of("gateway.toml")).replace("api_key_env", "# api_key_env")
    tomllib.loads(text)
    (tmp_path / "gateway.toml").write_text(text)
    (tmp_path / "keys.txt").write_text(f"alice {'0' * 64}\n")
    (tmp_path / "upstream-key.txt").write_text("secret\n")
    authority = tmp_path / "ca.pem"
    authority.write_text(Path(httpx_certificates()).read_text(encoding="utf-8"))
    config: Any = load_settings(tmp_path / "gateway.toml", environ={}).config
    assert (config.summary.model, config.models["default"].upstream_model) == ("small-model", "my-model")


def httpx_certificates() -> str:
    import certifi

    return certifi.where()


# ------------------------------------------------------------------------------------ summary by model


def test_the_example_of_a_summarising_model_is_a_configuration(tmp_path: Path) -> None:
    (toml,) = blocks(text_of("summary-model.md"), "toml")
    (tmp_path / "gateway.toml").write_text(toml)
    summary = load_settings(tmp_path / "gateway.toml", environ={}).config.summary
    assert (summary.reasoning, summary.upstream) == ("model", "small")


async def test_a_summarising_model_that_falls_back_is_counted_as_shown(tmp_path: Path) -> None:
    toml, metrics = (
        blocks(text_of("summary-model.md"), "toml")[0],
        blocks(text_of("summary-model.md"), "text")[0],
    )
    async with open_mock(Options(port=0, tokens_per_second=60)) as url:
        toml = toml.replace("http://localhost:8000", url).replace(
            "http://localhost:8001", "http://127.0.0.1:9"
        )
        config = tmp_path / "gateway.toml"
        config.write_text(toml.replace("interval = 3.0", "interval = 0.05"))
        async with (
            running([*OWN, "--config", str(config)]) as gateway,
            httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
        ):
            body = chat("Why is the sky blue? " * 20)
            answer = await client.post("/v1/chat/completions", json=body)
            counted = (await client.get("/metrics")).text
    assert "[Prompt Summary] " in answer.text
    name = re.escape(metrics.partition("{")[0])
    assert re.search(rf'^{name}\{{reason="(failed|refused)"\}} [1-9]', counted, re.MULTILINE)
    reasons = re.findall(r"^- `(\w+)`: ", text_of("summary-model.md"), re.MULTILINE)
    assert reasons == ["refused", "late", "failed", "useless"]


# ----------------------------------------------------------------------------------------- languages

PASSAGES = {
    "English": "The user wants to know how long the train moves. I subtract the stop of twenty minutes.\n",
    "German": "Der Nutzer möchte wissen, wie lange der Zug fährt. Ich ziehe die Pause von zwanzig Minuten ab.\n",
    "French": "L'utilisateur veut savoir combien de temps le train roule. Je retire l'arrêt de vingt minutes.\n",
    "Spanish": "El usuario quiere saber cuánto tiempo se mueve el tren. Resto la parada de veinte minutos.\n",
    "Russian": "Пользователь хочет узнать, сколько времени едет поезд. Я вычитаю остановку в двадцать минут.\n",
    "Arabic": "يريد المستخدم أن يعرف كم من الوقت يتحرك القطار. أطرح التوقف لمدة عشرين دقيقة.\n",
    "Chinese": "用户想知道火车行驶了多长时间。然后减去二十分钟的停车时间。\n",
    "Japanese": "ユーザーは列車がどのくらいの時間走るのかを知りたい。次に二十分の停車を引く。\n",
    "Korean": "사용자는 기차가 얼마나 오래 움직이는지 알고 싶어 한다. 그다음 이십 분의 정차를 뺀다.\n",
    "Hindi": "उपयोगकर्ता जानना चाहता है कि ट्रेन कितनी देर चलती है। पहले मैं प्रस्थान और आगमन के बीच का कुल समय निकालता हूँ। "
    "फिर बीस मिनट का ठहराव घटाता हूँ। अंत में परिणाम जाँचता हूँ।\n",
    "Thai": "ผู้ใช้ต้องการทราบว่ารถไฟวิ่งนานเท่าใด ก่อนอื่นคำนวณเวลาทั้งหมด จากนั้นลบเวลาหยุดยี่สิบนาที\n",
}


def has_lines(text: str) -> bool:
    summary = ReasoningSummary()
    summary.feed(text)
    return summary.last() is not None


def test_the_languages_are_those_that_get_lines() -> None:
    told = dict(
        re.findall(r"^\| ([\w, ]+) \| (yes|no)\b", sections("summaries.md")["Languages"], re.MULTILINE)
    )
    by_language = {name: answer == "yes" for names, answer in told.items() for name in names.split(", ")}
    assert by_language == {language: has_lines(text) for language, text in PASSAGES.items()}


# -------------------------------------------------------------------------------------- every document

PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md"])


def shown_blocks(kind: str) -> list[tuple[str, str]]:
    return [(page.name, text) for page in PAGES for text in blocks(page.read_text(encoding="utf-8"), kind)]


@pytest.mark.parametrize(("page", "text"), shown_blocks("sh"))
async def test_a_command_is_one_that_a_shell_reads(page: str, text: str) -> None:
    done = await trio.run_process(["sh", "-n"], stdin=text.encode(), capture_stderr=True, check=False)
    assert (page, done.stderr) == (page, b"")


@pytest.mark.parametrize(("page", "text"), shown_blocks("toml"))
def test_a_piece_of_configuration_is_one_that_is_taken(page: str, text: str, tmp_path: Path) -> None:
    named = set(re.findall(r"^\[upstreams\.([\w-]+)", text, re.MULTILINE))
    named |= set(
        re.findall(r'"([\w-]+)"', "".join(re.findall(r"^upstreams? = (.*?)(?:#|$)", text, re.MULTILINE)))
    )
    missing = named - set(re.findall(r"^\[upstreams\.([\w-]+)\]", text, re.MULTILINE))
    text += "".join(f'\n[upstreams.{name}]\nurl = "http://localhost:9000"' for name in sorted(missing))
    (tmp_path / "gateway.toml").write_text(text)
    load_settings(tmp_path / "gateway.toml", environ={"HOSTED_KEY": "secret"})
