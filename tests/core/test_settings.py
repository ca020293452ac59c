from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.config import ModelConfig, ServerConfig, SummaryConfig
from trio_gateway.core.config.families import family_of
from trio_gateway.core.config.keyfile import parse_keys
from trio_gateway.core.config.settings import ConfigError, Settings, base_url, load_settings, resolve_model

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = (Path(__file__).parents[2] / "docs" / "gateway.toml").read_text(encoding="utf-8")
KEY = "sk-canary"
NO_FILES: Mapping[str, str | bytes] = {}
KEYS_FILE = f"alice {hashlib.sha256(b'a').hexdigest()} metrics\n"


def load(text: str = "", files: Mapping[str, str | bytes] = NO_FILES, /, **environ: str) -> Settings:
    """Settings from a file ``etc/gw.toml`` with this *text*, from *files* by path, and from variables."""
    everything = {"etc/gw.toml": text, **files}

    def read_text(path: str) -> str:
        if "\0" in path:
            raise ValueError("embedded null byte")
        try:
            found = everything[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None
        return found if isinstance(found, str) else found.decode()

    return load_settings(environ, config_path="etc/gw.toml", read_text=read_text)


def error_of(text: str = "", files: Mapping[str, str | bytes] = NO_FILES, /, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, files, **environ)
    return str(caught.value)


# Where values come from


def test_nothing_at_all() -> None:
    def read_text(path: str) -> str:
        raise AssertionError(path)

    settings = load_settings({"PORT": "", "GATEWAY_CONFIG": ""}, read_text=read_text)
    config = settings.config
    assert (config.server, config.summary) == (ServerConfig(), SummaryConfig())
    assert {name: upstream.url for name, upstream in config.upstreams.items()} == {
        "main": "http://localhost:9000/v1"
    }
    assert settings.keys == {"main": None}
    assert list(config.models) == ["default"]
    assert config.models["default"].upstreams == ("main",)
    assert (settings.warnings, settings.log_level) == ((), "info")


def test_environment_beats_file_beats_default() -> None:
    text = """
        [server]
        host = "::1"
        port = 1
        [upstreams.main]
        url = "http://file"
        idle_timeout = 7
        [models.default]
        upstream_model = "file"
    """
    file, both = load(text).config, load(text, HOST="::2", PORT="2", UPSTREAM_URL="http://env").config
    assert [(config.server.host, config.server.port) for config in (file, both)] == [("::1", 1), ("::2", 2)]
    assert [config.upstreams["main"].url for config in (file, both)] == ["http://file/v1", "http://env/v1"]
    assert both.upstreams["main"].idle_timeout == 7
    assert file.models["default"].upstream_model == "file"
    assert load(text, UPSTREAM_MODEL="env").config.models["default"].upstream_model == "env"


def test_the_path_given_beats_the_variable() -> None:
    files = {"a.toml": "server.port = 1", "b.toml": "server.port = 2"}
    variable = {"GATEWAY_CONFIG": "a.toml"}
    for path, port in [(None, 1), ("", 1), ("b.toml", 2)]:
        settings = load_settings(variable, config_path=path, read_text=files.__getitem__)
        assert settings.config.server.port == port


# Mistakes: the text of the file, and what follows "etc/gw.toml: "

PORT = "an integer from 0 up to 65535"
SECONDS = "a number above 0 up to 1000000000"
FILE = "a readable file"
URL = "a URL of http or https with a host, without user and fragment"
ORIGIN = "an origin, such as https://app.example"
HIDDEN = "a value that is not shown"
MARKER = "a string of 1 to 128 characters, not just spaces"

MISTAKES = [
    ("a = 1\nb =", "line 2", "TOML", "a syntax error (Invalid value)"),
    ("\n\na = nope\nb = 1", "line 3", "TOML", "a syntax error (Invalid value)"),
    ("a = " + "9" * 5000, "", "TOML", "a number too long or tables too deep"),
    ("a = " + "[" * 100_000, "", "TOML", "a number too long or tables too deep"),
    ("server = 1", "server", "a table", "1"),
    ("upstreams = []", "upstreams", "a table", "an array of 0"),
    ("models.x = true", "models.x", "a table", "true"),
    ("server.port = 'x'", "server.port", PORT, '"x"'),
    ("server.port = 65536", "server.port", PORT, "65536"),
    ("server.port = true", "server.port", PORT, "true"),
    ("server.port = 1.5", "server.port", PORT, "1.5"),
    ("server.port = 1e3", "server.port", PORT, "1000.0"),
    ("server.port = {}", "server.port", PORT, "a table"),
    ("server.port = 2020-01-01", "server.port", PORT, "a date or a time"),
    ("server.port = 0x" + "f" * 5000, "server.port", PORT, "an integer of many digits"),
    ("server.host = ''", "server.host", "an address or a host name", '""'),
    ("server.allow_unlisted = 0", "server.allow_unlisted", "true or false", "0"),
    ("server.stream_format = 'sse'", "server.stream_format", '"openai" or "phases"', '"sse"'),
    ("server.heartbeat = nan", "server.heartbeat", SECONDS, "nan"),
    ("server.heartbeat = inf", "server.heartbeat", SECONDS, "inf"),
    ("server.heartbeat = false", "server.heartbeat", SECONDS, "false"),
    ("server.cors_origins = ['https://a', 3]", "server.cors_origins[1]", ORIGIN, "3"),
    ("server.cors_origins = ['*']", "server.cors_origins[0]", ORIGIN, '"*"'),
    ("server.cors_origins = ['https://a/b']", "server.cors_origins[0]", ORIGIN, '"https://a/b"'),
    ("server.cors_origins = ['a.example']", "server.cors_origins[0]", ORIGIN, '"a.example"'),
    ("server.api_keys_file = 3", "server.api_keys_file", "a string", HIDDEN),
    ("server.api_keys_file = 'x'", "server.api_keys_file", FILE, "No such file or directory"),
    ("[upstreams.x]", "upstreams.x.url", "the base URL of an API", "nothing"),
    ("upstreams.x.url = 3", "upstreams.x.url", "the base URL of an API", HIDDEN),
    ("upstreams.' '.url = 'http://h'", 'upstreams." "', "an id", "an empty one"),
    ("upstreams.x.url = 'http://u:sk-canary@h'", "upstreams.x.url", URL, "a user or a password"),
    (
        "upstreams.main.api_key_env = 'sk-canary'",
        "upstreams.main.api_key_env",
        "the name of a variable that is set",
        "one that is not set",
    ),
    (
        "upstreams.main.pass_through_key = 'sk-canary'",
        "upstreams.main.pass_through_key",
        "true or false",
        HIDDEN,
    ),
    (
        "upstreams.main.api_key_file = 'k'\nupstreams.main.pass_through_key = true",
        "upstreams.main.pass_through_key",
        "only one of api_key_env, api_key_file, pass_through_key",
        "api_key_file as well",
    ),
    (
        "upstreams.main.api_key_file = 'sk-canary'",
        "upstreams.main.api_key_file",
        FILE,
        "No such file or directory",
    ),
    (
        'upstreams.main.api_key_file = "\\u0000"',
        "upstreams.main.api_key_file",
        FILE,
        "one that is not UTF-8 text",
    ),
    ("upstreams.main.breaker = 3", "upstreams.main.breaker", "a table", "3"),
    ("upstreams.main.breaker.jitter = 1", "upstreams.main.breaker.jitter", "a number from 0 below 1", "1"),
    (
        "upstreams.main.breaker = {window = 1, window_calls = 20}",
        "upstreams.main.breaker.window_calls",
        "either window or window_calls",
        "both",
    ),
    (
        "upstreams.main.breaker.window_calls = 9",
        "upstreams.main.breaker.min_calls",
        "at most window_calls, which is 9",
        "10",
    ),
    (
        "upstreams.main.breaker.open_base = 61",
        "upstreams.main.breaker.open_cap",
        "at least open_base, which is 61",
        "60",
    ),
    ("models.'' = {}", 'models.""', "an id", "an empty one"),
    ("models.'qwen3:8b'.markers = [['a', ' ']]", 'models."qwen3:8b".markers[0][1]', MARKER, '" "'),
    ("models.a.markers = 'ab'", "models.a.markers", "an array", '"ab"'),
    ("models.a.markers = [['a']]", "models.a.markers[0]", "a pair of strings", "an array of 1"),
    (
        "models.a.wrappers = [['', 'x'], ['é\\n', 'é\\n']]",
        "models.a.wrappers[1]",
        "a start that differs from its end",
        '"é\\\\n"',
    ),
    (
        "models.a.starts_in_reasoning = 1",
        "models.a.starts_in_reasoning",
        'true or false or "when_thinking"',
        "1",
    ),
    ("models.a.upstreams = []", "models.a.upstreams", "an array with at least one item", "an array of 0"),
    (
        "models.a.upstreams = ['main', 'spare']",
        "models.a.upstreams[1]",
        'an upstream of the configuration, "main"',
        '"spare"',
    ),
    ("models.a.upstreams = ['main', 'main']", "models.a.upstreams[1]", "each upstream once", '"main" again'),
    ("models.a.match = '('", "models.a.match", "a regular expression", '"("'),
    (
        "models.a.match = 'a{99999999999999999999}'",
        "models.a.match",
        "a regular expression",
        '"a{99999999999999999999}"',
    ),
    (
        "models.a = {family = 'deepseek-r1', on_runaway = 'no_thinking'}",
        "models.a.thinking_switch",
        'a switch, since on_runaway is "no_thinking"',
        '""',
    ),
    ("summary.interval = 0.01", "summary.interval", "a number from 0.05 up to 1000000000", "0.01"),
    ("summary.upstream = 'spare'", "summary.upstream", 'an upstream of the configuration, "main"', '"spare"'),
    ("summary.prompt = 'model'", "summary.model", 'a model, since summary.prompt is "model"', '""'),
]


@pytest.mark.parametrize(("text", "key", "expected", "found"), MISTAKES)
def test_a_mistake_in_the_file(text: str, key: str, expected: str, found: str) -> None:
    error = error_of(text)
    assert error == ": ".join(["etc/gw.toml", *filter(None, [key]), f"expected {expected}, found {found}"])
    assert error.isprintable()
    assert KEY not in error


def test_limits_that_meet_are_no_mistake() -> None:
    load("upstreams.main.breaker = {window_calls = 10, open_base = 60}")
    load("upstreams.main.breaker = {window_calls = 0, window = 60}")


def test_a_file_that_cannot_be_read() -> None:
    def refuse(path: str) -> str:
        raise OSError(path)

    with pytest.raises(ConfigError) as caught:
        load_settings({"GATEWAY_CONFIG": "x.toml"}, read_text=refuse)
    assert str(caught.value) == f"x.toml: expected {FILE}, found one that cannot be read"
    error = error_of("server.api_keys_file = 'keys'", {"etc/keys": b"\xff"})
    assert error == f"etc/gw.toml: server.api_keys_file: expected {FILE}, found one that is not UTF-8 text"


KEY_RULE = "a key of printable ASCII characters without spaces"
MAIN_KEY = "upstreams.main.api_key_env"
LEVELS = "debug, info, warning, error, critical"
HOST_NAME = "a host name or an address without scheme and port, such as gateway.lan"


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"PORT": "http"}, f'PORT: server.port: expected {PORT}, found "http"'),
        ({"PORT": "65536"}, f"PORT: server.port: expected {PORT}, found 65536"),
        ({"PORT": "-1"}, f'PORT: server.port: expected {PORT}, found "-1"'),
        ({"PORT": "٣"}, f'PORT: server.port: expected {PORT}, found "٣"'),
        ({"PORT": "9" * 61}, f'PORT: server.port: expected {PORT}, found "{"9" * 59}…"'),
        (
            {"HOST": "h\udc80"},
            "HOST: server.host: expected printable text, found a control character or broken UTF-8",
        ),
        ({"HOST": " "}, 'HOST: server.host: expected an address or a host name, found " "'),
        (
            {"UPSTREAM_URL": "h"},
            f"UPSTREAM_URL: upstreams.main.url: expected {URL}, found no http:// or https:// at its head",
        ),
        (
            {"UPSTREAM_API_KEY": f"Bearer {KEY}"},
            f"UPSTREAM_API_KEY: {MAIN_KEY}: expected {KEY_RULE}, "
            "found a space, a control character or one outside ASCII",
        ),
        (
            {"UPSTREAM_API_KEY": KEY, "UPSTREAM_API_KEY_FILE": "k"},
            f"UPSTREAM_API_KEY_FILE: {MAIN_KEY}: expected only one of UPSTREAM_API_KEY and "
            "UPSTREAM_API_KEY_FILE, found both",
        ),
        (
            {"UPSTREAM_API_KEY_FILE": "none"},
            f"UPSTREAM_API_KEY_FILE: {MAIN_KEY}: expected {FILE}, found No such file or directory",
        ),
        (
            {"UPSTREAM_API_KEY_FILE": "empty"},
            f"UPSTREAM_API_KEY_FILE: {MAIN_KEY}: expected {KEY_RULE}, found an empty file",
        ),
        (
            {"GATEWAY_API_KEYS_FILE": "none"},
            f"GATEWAY_API_KEYS_FILE: server.api_keys_file: expected {FILE}, found No such file or directory",
        ),
        (
            {"GATEWAY_API_KEYS_FILE": "bad"},
            "bad:2: sha256: expected 64 hexadecimal digits, found another text",
        ),
        ({"LOG_LEVEL": "loud"}, f'LOG_LEVEL: expected one of {LEVELS}, found "loud"'),
        ({"LOG_FORMAT": "xml"}, 'LOG_FORMAT: expected one of text, json, found "xml"'),
        ({"ALLOWED_HOSTS": "*"}, f'ALLOWED_HOSTS: server.allowed_hosts[0]: expected {HOST_NAME}, found "*"'),
        (
            {"ALLOWED_HOSTS": "a, b c"},
            f'ALLOWED_HOSTS: server.allowed_hosts[1]: expected {HOST_NAME}, found "b c"',
        ),
        ({"ALLOWED_HOSTS": "a,"}, f'ALLOWED_HOSTS: server.allowed_hosts[1]: expected {HOST_NAME}, found ""'),
        (
            {"ALLOWED_HOSTS": "a\n"},
            "ALLOWED_HOSTS: server.allowed_hosts: expected printable text, "
            "found a control character or broken UTF-8",
        ),
        (
            {"REDIS_URL": "redis://h", "REDIS_URL_FILE": "k"},
            "REDIS_URL_FILE: expected only one of REDIS_URL and REDIS_URL_FILE, found both",
        ),
        ({"REDIS_URL_FILE": "none"}, f"REDIS_URL_FILE: expected {FILE}, found No such file or directory"),
        ({"REDIS_URL_FILE": "empty"}, "REDIS_URL_FILE: expected printable text, found an empty file"),
        *(
            (
                {"REDIS_URL": url},
                "REDIS_URL: expected a URL such as redis://host:6379/0 (or rediss://, or unix:///path), "
                "found something else",
            )
            for url in (
                "secret",
                "http://h",
                "redis://",
                "redis://h:0",
                "redis://h:x",
                "redis://h/db",
                "redis://[",
                "unix://",
            )
        ),
        ({"REDIS_URL": "a\tb"}, "REDIS_URL: expected printable text, found a control character"),
    ],
)
def test_a_mistake_in_a_variable(variables: dict[str, str], error: str) -> None:
    assert error_of("", {"empty": " \n", "bad": f"\nalice {KEY}"}, **variables) == error
    assert KEY not in error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sever = 1", 'unknown key sever; did you mean "server"?'),
        ("[models.default]\nupstream = 1", 'unknown key models.default.upstream; did you mean "upstreams"?'),
        ("[zzz]", "unknown key zzz; known are server, upstreams, models, summary"),
    ],
)
def test_an_unknown_key(text: str, line: str) -> None:
    assert error_of(text) == f"etc/gw.toml: {line}"


# URLs and keys


@pytest.mark.parametrize(
    ("url", "corrected"),
    [
        ("localhost", "http://localhost"),
        ("localhost:8000", "http://localhost:8000"),
        ("gpu.lan:8000/v1", "http://gpu.lan:8000/v1"),
    ],
)
def test_a_url_that_lacks_its_scheme_is_written_out(url: str, corrected: str) -> None:
    assert error_of(UPSTREAM_URL=url) == f"UPSTREAM_URL={url}: write {corrected}"
    told = error_of(f'[upstreams.gpu]\nurl = "{url}"')
    assert told == f'etc/gw.toml: upstreams.gpu.url = "{url}": write {corrected}'


@pytest.mark.parametrize("url", [KEY, f"user:{KEY}", f"u:{KEY}@host:80", "eyJhbGciOi.eyJz.sig"])
def test_what_may_be_a_key_in_the_place_of_a_url_is_not_shown(url: str) -> None:
    assert url not in error_of(UPSTREAM_URL=url)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://host/v1?key=1", "http://host/v1?key=1"),
        ("http://host?a=b", "http://host/v1?a=b"),
        ("http://host/v1/chat/completions/", "http://host/v1"),
        ("http://host/chat/completions", "http://host"),
    ],
)
def test_a_query_stays_and_the_path_of_chat_is_cut(url: str, base: str) -> None:
    assert base_url(url) == base


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("", "UPSTREAM_URL"),
        ("[upstreams.main]\nidle_timeout = 1", "UPSTREAM_URL"),
        ('[upstreams.main]\nurl = "http://h"', "upstreams.main.url"),
    ],
)
def test_what_has_set_a_url_is_known(text: str, setting: str) -> None:
    assert load(text).url_settings == {"main": setting}
    assert load(text, UPSTREAM_URL="http://x").url_settings == {"main": "UPSTREAM_URL"}


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://localhost:9000", "http://localhost:9000/v1"),
        ("http://localhost:9000/", "http://localhost:9000/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("HTTPS://host/v1beta/openai", "https://host/v1beta/openai"),
        ("http://[::1]:9000", "http://[::1]:9000/v1"),
        ("", None),
        ("localhost:9000", None),
        ("ftp://host", None),
        ("http://", None),
        ("http://:9000", None),
        ("http://host:port", None),
        ("http://host:65536", None),
        ("http://[::1", None),
        ("http://user@host", None),
        ("http://host?", "http://host/v1"),
        ("http://host?api-version=1", "http://host/v1?api-version=1"),
        ("https://host/openai/d/x/?api-version=1&a=/b/", "https://host/openai/d/x?api-version=1&a=/b/"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/d/chat/completions/?api-version=1", "https://host/d?api-version=1"),
        ("https://host/xchat/completions", "https://host/xchat/completions"),
        ("http://host/v1#", None),
        ("http://ho st", None),
        ("http://host\n", None),
        ("http://host\\@evil", None),
        ("http://hôst", None),
    ],
)
def test_base_url(url: str, base: str | None) -> None:
    if base is None:
        with pytest.raises(ValueError, match=r"^(a|no) [a-z]"):
            base_url(url)
    else:
        assert base_url(url) == base == base_url(base)


def test_the_address_of_requests_at_the_root_of_a_host() -> None:
    assert base_url("https://host/chat/completions") == "https://host"
    assert base_url("https://host//chat/completions/?a=b") == "https://host?a=b"


def test_keys_of_upstreams() -> None:
    text = """
        [upstreams.a]
        url = "http://a"
        api_key_env = "A_KEY"
        [upstreams.b]
        url = "http://b"
        api_key_env = "B_KEY"
        [upstreams.c]
        url = "http://c"
        api_key_file = "../c.key"
        [upstreams.d]
        url = "http://d"
        pass_through_key = true
        [upstreams.e]
        url = "http://e"
        [upstreams.f]
        url = "http://f"
        api_key_env = "TOKEN"
    """
    files = {"b.key": f" {KEY}-b\n", "etc/../c.key": f"\t{KEY}-c\r\n"}
    settings = load(text, files, A_KEY=f"{KEY}-a", B_KEY_FILE="b.key", TOKEN=f"{KEY}-f", TOKEN_FILE="none")
    keys = {name: f"{KEY}-{name}" for name in "abcf"}
    assert settings.keys == {**keys, "d": None, "e": None}
    assert KEY not in repr(settings)


def test_the_key_of_main() -> None:
    assert load(UPSTREAM_API_KEY=KEY).keys == {"main": KEY}
    assert load("", {"k": KEY}, UPSTREAM_API_KEY_FILE="k").keys == {"main": KEY}
    assert load("upstreams.main.api_key_env = 'UPSTREAM_API_KEY'").keys == {"main": None}
    assert load("upstreams.main.api_key_env = 'UPSTREAM_API_KEY'", UPSTREAM_API_KEY=KEY).warnings == ()


@pytest.mark.parametrize("way", ["api_key_env = 'A_KEY'", "api_key_file = 'none'", "pass_through_key = true"])
def test_the_key_variable_beats_the_file_aloud(way: str) -> None:
    settings = load(f"upstreams.main.{way}", UPSTREAM_API_KEY=KEY)
    assert settings.keys == {"main": KEY}
    assert not settings.config.upstreams["main"].pass_through_key
    assert settings.warnings == (f"UPSTREAM_API_KEY takes the place of upstreams.main.{way.split()[0]}",)


def test_both_ways_of_a_variable_of_the_file() -> None:
    assert error_of("upstreams.main.api_key_env = 'A_KEY'", A_KEY=KEY, A_KEY_FILE="k") == (
        "etc/gw.toml: upstreams.main.api_key_env: expected only one of A_KEY and A_KEY_FILE, found both"
    )


def test_upstream_variables_without_main_are_ignored_aloud() -> None:
    text = "upstreams.a = {url = 'http://a', api_key_env = 'UPSTREAM_API_KEY'}"
    settings = load(text, UPSTREAM_URL="http://b", UPSTREAM_API_KEY=KEY, UPSTREAM_MODEL="m", PORT="1")
    assert settings.keys == {"a": KEY}
    assert settings.config.upstreams["a"].url == "http://a/v1"
    assert settings.config.models["default"].upstream_model == ""
    assert settings.warnings == (
        "UPSTREAM_URL is ignored: it is about the upstream main, and the file names only others",
        "UPSTREAM_MODEL is ignored: it is about the upstream main, and the file names only others",
    )


# Models


def model(text: str, name: str = "a", /, **environ: str) -> ModelConfig:
    return load(text, **environ).config.models[name]


def test_an_entry_has_its_family_and_its_own_keys() -> None:
    r1 = family_of("deepseek-r1")
    entry = model("models.a = {upstream_model = 'deepseek-r1', label = 'x', markers = []}")
    assert (entry.family, entry.starts_in_reasoning, entry.match) == (r1.family, r1.starts_in_reasoning, "")
    assert (entry.label, entry.markers) == ("x", ())
    assert model("models.deepseek-r1.family = ''", "deepseek-r1").family == r1.family
    assert model("models.deepseek-r1 = {}", "deepseek-r1").markers == r1.markers
    named = model("models.a.family = 'deepseek-r1'")
    assert named == msgspec.structs.replace(r1, match="", upstreams=("main",))


def test_a_family_that_is_none() -> None:
    start = "etc/gw.toml: models.a.family: expected a family, such as "
    for name, near in [("deepseek-r", '"deepseek-r1"'), ("?", '"')]:
        error = error_of(f"models.a.family = '{name}'")
        assert error.startswith(start + near)
        assert error.endswith(f', found "{name}"')


def test_own_markers_switch_prose_off() -> None:
    assert model("models.default = {}", "default").prose_starts
    assert model("models.default.markers = [['a', 'b']]", "default").prose_starts == ()
    both = "models.default = {markers = [['a', 'b']], prose_starts = ['Hm']}"
    assert model(both, "default").prose_starts == ("Hm",)
    assert model("models.default.prose_starts = []", "default").prose_starts == ()


def test_the_family_of_default() -> None:
    known = model("", "default", UPSTREAM_MODEL="deepseek-r1")
    assert (known.family, known.prose_starts) == (family_of("deepseek-r1").family, ())
    unknown = model("", "default", UPSTREAM_MODEL="no-such-model")
    assert unknown.upstream_model == "no-such-model"
    assert unknown.prose_starts == family_of("default").prose_starts != ()
    for name in ("a", "deepseek-r1"):
        other = model(f"models.{name}.upstream_model = 'no-such-model'", name, UPSTREAM_MODEL="deepseek-r1")
        assert other.family == family_of("no-such-model").family


def test_upstreams_of_entries() -> None:
    text = """
        upstreams.b.url = "http://b"
        upstreams.a.url = "http://a"
        [models]
        one = {}
        two.upstreams = ["a", "b"]
    """
    models = load(text).config.models
    assert [models[name].upstreams for name in ("one", "two", "default")] == [("b",), ("a", "b"), ("b", "a")]


def test_resolving() -> None:
    text = """
        upstreams.b.url = "http://b"
        upstreams.a.url = "http://a"
        [models.first]
        match = "^QWEN3"
        [models.second]
        match = "qwen"
        [models."qwen3:8b"]
    """
    config = load(text).config
    found = {"qwen3:8b": "qwen3:8b", "Qwen3-4B": "first", "my-qwen3": "second", "first": "first"}
    for asked, name in {**found, "default": "default"}.items():
        assert resolve_model(config, asked) is config.models[name]
    unlisted = msgspec.structs.replace(family_of("deepseek-r1"), match="", upstreams=("b",))
    assert resolve_model(config, "deepseek-r1") == unlisted
    closed = load("server.allow_unlisted = false").config
    assert resolve_model(closed, "deepseek-r1") is None
    assert resolve_model(closed, "default") is closed.models["default"]


# Log level and warnings


def test_log_level() -> None:
    assert load(LOG_LEVEL="DEBUG").log_level == "debug"


def test_log_format() -> None:
    assert load().log_format is None
    assert [load(LOG_FORMAT=text).log_format for text in ("text", "JSON")] == ["text", "json"]


def test_allowed_hosts_of_file_and_environment() -> None:
    text = "server.allowed_hosts = ['gateway.lan', '::1', '[fe80::1]', '10.0.0.1', 'a_b-c', 'gateway.lan.']"
    assert len(load(text).config.server.allowed_hosts) == 6
    assert load(text, ALLOWED_HOSTS="one, two.example ").config.server.allowed_hosts == ("one", "two.example")


@pytest.mark.parametrize(
    "name",
    ["", "*", "*.lan", "http://gateway", "gateway:80", "127.0.0.1:80", "a b", "a/b", "a..b", "a" * 254],
)
def test_an_allowed_host_is_a_name_alone(name: str) -> None:
    found = name if len(name) < 60 else name[:59] + "…"
    assert error_of(f"server.allowed_hosts = ['ok', '{name}']") == (
        f'etc/gw.toml: server.allowed_hosts[1]: expected {HOST_NAME}, found "{found}"'
    )


def test_a_mistake_in_a_list_of_the_file_is_not_blamed_on_a_variable() -> None:
    assert error_of("server.cors_origins = ['*']", ALLOWED_HOSTS="a").startswith("etc/gw.toml: server.cors_o")


def test_the_url_of_redis_may_come_as_a_file_and_is_never_shown() -> None:
    assert load().redis_url is None
    assert load(REDIS_URL=f"redis://:{KEY}@h").redis_url == f"redis://:{KEY}@h"
    settings = load("", {"k": f"redis://:{KEY}@h\n"}, REDIS_URL_FILE="k")
    assert settings.redis_url == f"redis://:{KEY}@h"
    assert KEY not in repr(settings)


def test_what_has_no_effect_is_reported_once() -> None:
    assert load(REDIS_URL="redis://h").warnings == ()
    assert load('summary = {prompt = "off", reasoning = "off"}').warnings == ()


@pytest.mark.parametrize(
    ("host", "open_to_all"),
    [
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.1", True),
        ("gateway.example", True),
    ],
)
def test_an_address_that_others_reach_wants_keys(host: str, open_to_all: bool) -> None:
    warnings = load(HOST=host).warnings
    assert [f"server.host is {host}" in warning for warning in warnings] == [True] * open_to_all
    assert load("", {"k": KEYS_FILE}, HOST=host, GATEWAY_API_KEYS_FILE="k").warnings == ()


def test_client_keys() -> None:
    assert load().client_keys is None
    settings = load("", {"k": KEYS_FILE}, GATEWAY_API_KEYS_FILE="k")
    assert settings.config.server.api_keys_file == "k"
    assert settings.client_keys == parse_keys(KEYS_FILE, "k")
    assert load("", {"k": "# nobody\n"}, GATEWAY_API_KEYS_FILE="k").client_keys == ()


# Anything at all

SCALARS = ["''", "'main'", "'model'", "'('", '"\\u2028"', "3", "-1", "1e999", "nan", "true", "2020-01-01"]
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f"{{ url = {item} }}")
    ),
    max_leaves=5,
)
STEPS = ["server", "upstreams", "models", "summary", "main", "default", "breaker", "url", "'` - at `$.x`'"]
FIELDS = sorted(
    {
        key
        for line in EXAMPLE.splitlines()
        for key, equals, _ in [line.partition(" =")]
        if equals and key.isidentifier()
    }
)
PATHS = st.lists(st.sampled_from(STEPS), max_size=3).flatmap(
    lambda steps: st.sampled_from(FIELDS + STEPS).map(lambda last: ".".join([*steps, last]))
)
LINES = st.lists(st.tuples(PATHS, VALUES).map(" = ".join), min_size=1, max_size=4).map("\n".join)


VARIABLES = [
    "PORT",
    "UPSTREAM_URL",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "ALLOWED_HOSTS",
    "REDIS_URL",
    "REDIS_URL_FILE",
]


@given(LINES | st.text(), st.dictionaries(st.sampled_from(VARIABLES), st.text()))
def test_any_text_gives_settings_or_one_line(text: str, variables: dict[str, str]) -> None:
    try:
        settings = load(text, **variables)
    except ConfigError as error:
        line = str(error)
    else:
        line = f"expected , found {settings.config.upstreams['main'].url}"
    assert re.search("expected |unknown key |: write http://", line)
    assert re.search(", found |unknown key |: write http://", line)
    assert line.isprintable()


@given(st.sampled_from(FIELDS), VALUES)
def test_any_value_of_a_key_gives_settings_or_an_error_about_it(key: str, value: str) -> None:
    for table in ("server", "summary", "upstreams.main", "upstreams.main.breaker", "models.default"):
        place = f"{table}.{key}"
        try:
            load(f"{place} = {value}")
        except ConfigError as error:
            place = str(error).removeprefix("etc/gw.toml: ").removeprefix("unknown key ")
        assert place.startswith(
            (f"{table}.{key}", "summary.model", f"{table}.min_calls", f"{table}.open_cap")
        )
