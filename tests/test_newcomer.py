"""A newcomer's own server that does not work yet: each error says what to do next, and is logged once."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.faults.certificates import make_certificates
from tests.faults.playing import Door, open_faulty
from tests.support import (
    HEAD,
    Script,
    bearer,
    chat,
    key_line,
    open_gateway,
    open_upstream,
    plays,
    settings,
    text_answer,
)

if TYPE_CHECKING:
    import trio

    from tests.faults.certificates import Certificates
    from tests.faults.playing import Play

OPENAI = "/openai/v1/chat/completions"
NAMED = 'Upstream "main" at URL '


def status(line: str, body: str, kind: str = "application/json") -> Script:
    head = (
        f"HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return plays((head + body).encode())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates | None:
    return make_certificates(tmp_path_factory.mktemp("certificates")) if shutil.which("openssl") else None


DOORS: list[tuple[Play, str, str]] = [
    (
        Door.NOBODY_LISTENS,
        "refused the connection. Is the model server running, at the port of UPSTREAM_URL?"
        " To try without one: trio-gateway mock (in a checkout: ./run mock).",
        "connection refused",
    ),
    (Door.NO_SUCH_NAME, "could not be reached: there is no such host. Check UPSTREAM_URL.", "no such host"),
    (
        Door.UNKNOWN_CERTIFICATE,
        "shows a certificate that is not trusted (self-signed, or of an unknown CA)."
        " Name the file of its CA: upstreams.main.ca_file, or SSL_CERT_FILE.",
        "certificate not trusted",
    ),
    (
        Door.TLS_IS_NOT_SPOKEN,
        "does not speak TLS at this port. If it speaks plain HTTP, write http:// in UPSTREAM_URL.",
        "no TLS at this port",
    ),
]


@pytest.mark.parametrize(("door", "message", "reason"), DOORS)
async def test_a_server_that_cannot_be_reached(
    door: Play, message: str, reason: str, certificates: Certificates | None
) -> None:
    with capture_logs() as log:
        async with (
            open_faulty(door, certificates) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        ):
            for _ in range(2):
                answer = await client.post(OPENAI, json=chat(stream=False))
            main = (await client.get("/health")).json()["upstreams"]["main"]
    url = f"{upstream.url}/v1"
    assert answer.json()["error"]["message"] == (NAMED + message).replace("URL ", f"{url} ", 1)
    (failed,) = [each for each in log if each["event"] == "upstream_failed"]
    assert (failed["upstream"], failed["url"], failed["reason"]) == ("main", url, reason)
    assert message.endswith(failed["hint"])
    assert main["reachable"] is False
    assert 0 <= main["seen_s"] < 10


ANSWERS: list[tuple[Script, str, int]] = [
    (
        status("404 Not Found", "<html>no</html>", "text/html"),
        NAMED + "answered 404 with HTML to POST …/chat/completions. Is the path in UPSTREAM_URL right?",
        502,
    ),
    (
        status("404 Not Found", '{"error": {"message": "model \\"default\\" not found"}}'),
        'The model "default" is not mapped to one of the upstream "main".'
        ' Set UPSTREAM_MODEL, or name a model of GET /v1/models as "model".',
        404,
    ),
    (
        status("401 Unauthorized", "{}"),
        NAMED + "refused the gateway's key (status 401). UPSTREAM_API_KEY is not set.",
        502,
    ),
    (
        status("200 OK", '{"response": "4"}'),
        NAMED + 'answered with JSON that holds no "choices". Is it an OpenAI-style API?',
        502,
    ),
    (
        status("200 OK", "<html>hi</html>", "text/html; charset=utf-8"),
        NAMED
        + "answered with text/html, which is neither events nor JSON. Is the path in UPSTREAM_URL right?",
        502,
    ),
    (
        plays(b""),
        NAMED + "closed the connection without an answer. Its log may tell why."
        " If it speaks TLS, write https:// in UPSTREAM_URL.",
        502,
    ),
    (
        plays(HEAD, hold=True),
        NAMED + "sent no event of its answer in 0.2 s. Does it load the model?"
        " upstreams.main.first_event_timeout sets how long it may take.",
        504,
    ),
]


@pytest.mark.parametrize(("script", "message", "code"), ANSWERS)
async def test_a_server_that_gives_no_answer(script: Script, message: str, code: int) -> None:
    toml = "[upstreams.main]\nfirst_event_timeout = 0.2\nmax_attempts = 1"
    async with (
        open_upstream(script) as upstream,
        open_gateway(settings(toml, UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await client.post(OPENAI, json=chat(stream=False))
    told = answer.json()["error"]["message"]
    assert (told, answer.status_code) == (message.replace("URL ", f"{upstream.url}/v1 ", 1), code)


async def two_models(stream: trio.SocketStream, number: int) -> None:
    """As Ollama, which does not know the model that is asked for."""
    answers = [{"error": {"message": 'model "default" not found, try pulling it first', "type": "api_error"}}]
    await status("404 Not Found", json.dumps(answers[0]))(stream, number)


async def test_a_server_that_lists_two_models_and_knows_no_default() -> None:
    async with (
        open_upstream(two_models) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        client.app.gateway.backends["main"].traffic.models = ("qwen3:8b", "llama3:8b")
        answer = await client.post(OPENAI, json=chat(stream=False))
    assert answer.json()["error"]["message"] == (
        'The model "default" is not mapped, and the upstream "main" lists qwen3:8b, llama3:8b.'
        ' Set UPSTREAM_MODEL, or name one of them as "model".'
    )


async def test_who_comes_with_a_key_is_not_shown_where_the_upstream_is() -> None:
    async with (
        open_faulty(Door.NOBODY_LISTENS) as upstream,
        open_gateway(settings(keys=key_line("anna"), UPSTREAM_URL=upstream.url)) as client,
    ):
        answer = await client.post(OPENAI, json=chat(stream=False), headers=bearer("anna"))
    message = answer.json()["error"]["message"]
    assert message.startswith('Upstream "main" refused the connection. ')
    assert upstream.url not in answer.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/completions", "No route /v1/completions. The nearest is POST /v1/chat/completions; see /docs."),
        ("/v1/model", "No route /v1/model. The nearest is GET /v1/models; see /docs."),
        ("/x", "No route /x. Chat is at POST /v1/chat/completions; see /docs."),
    ],
)
async def test_a_wrong_path_of_the_gateway(path: str, message: str) -> None:
    async with open_gateway(settings()) as client:
        answer = await client.post(path)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, message)


async def test_recovery_is_logged_once() -> None:
    with capture_logs() as log:
        async with open_upstream(
            plays(b"", HEAD + b'data: {"choices": [{"delta": {"content": "4"}}]}\n\n')
        ) as upstream:
            toml = "[upstreams.main]\nmax_attempts = 1"
            async with open_gateway(settings(toml, UPSTREAM_URL=upstream.url)) as client:
                for _ in range(3):
                    await client.post(OPENAI, json=chat(stream=False))
    events = [each["event"] for each in log if each["event"].startswith("upstream_")]
    assert events == ["upstream_failed", "upstream_recovered"]


@pytest.mark.parametrize(
    ("toml", "keys", "advised"),
    [
        ("", None, True),
        ("[models.default]\nstarts_in_reasoning = true", None, False),
        ("", key_line("anna"), False),
    ],
)
async def test_what_the_log_advises_stands_in_the_list_of_models(
    toml: str, keys: str | None, advised: bool
) -> None:
    implied = text_answer("I add two and two.\n</think>\n\n", "The sum is 4.")
    shown = bearer("anna") if keys else {}
    async with (
        open_upstream(plays(implied)) as upstream,
        open_gateway(settings(toml, keys=keys, UPSTREAM_URL=upstream.url)) as client,
    ):
        before = (await client.get("/v1/models/default", headers=shown)).json()
        await client.post("/v1/chat/completions", json=chat(), headers=shown)
        after = (await client.get("/v1/models/default", headers=shown)).json()
    assert "advice" not in before["capabilities"]
    advice = "model default opens its reasoning itself; set starts_in_reasoning = true"
    assert after["capabilities"].get("advice") == (advice if advised else None)
