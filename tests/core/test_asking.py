"""What a refusal takes back, and what of it is remembered."""

from __future__ import annotations

import pytest

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import family_of
from trio_gateway.core.upstream_api.asking import Added, Asking, AskingMemory, asking_of, asking_otherwise
from trio_gateway.core.upstream_api.chunks import InbandError, describe_http_error

ALL = Added(usage=True, stream=True, switch=True, lacks_reasoning=True)
WHOLE = Asking(stream=False)
WITHOUT_USAGE = Asking(usage=False)
FILLED = Asking(fill_reasoning=True)


@pytest.mark.parametrize(
    ("body", "otherwise"),
    [
        # stream_options
        ('{"message": {"detail": [{"loc": ["body", "stream_options", "include_usage"]}]}}', WITHOUT_USAGE),
        ('{"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}', WITHOUT_USAGE),
        ('{"error": {"message": "Unrecognized request argument supplied: stream_options"}}', WITHOUT_USAGE),
        ('{"error": {"message": "Unknown parameter", "param": "stream_options"}}', WITHOUT_USAGE),
        ("Stream_Options is not allowed", WITHOUT_USAGE),
        # stream
        ('{"error": {"message": "must be verified to stream this model.", "param": "stream"}}', WHOLE),
        ('{"error": {"message": "Unsupported value", "param": "stream"}}', WHOLE),
        ('{"error": "Streaming is not supported"}', WHOLE),
        ("`stream` cannot be true; stream_options neither", Asking(stream=False, usage=False)),
        # the switch
        ('{"error": {"message": "chat_template_kwargs: extra fields not permitted"}}', Asking(switch=False)),
        # reasoning beside tool calls, as DeepSeek, Kimi and MiMo word it
        ('{"error": {"message": "Missing `reasoning_content` field in the assistant message"}}', FILLED),
        (
            '{"error": {"message": "thinking is enabled but reasoning_content is missing in assistant tool call'
            ' message at index 2"}}',
            FILLED,
        ),
        ("The reasoning_content in the thinking mode must be passed back to the API.", FILLED),
        # anything else
        ('{"error": {"message": "temperature: too large"}}', None),
        ('{"error": {"message": "upstream is no fun, downstream-stream neither"}}', None),
        ("", None),
        ("<html>stream</html>", None),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_what_a_refusal_names(status: int, body: str, otherwise: Asking | None) -> None:
    told = describe_http_error(status, body.encode())
    assert asking_otherwise(Asking(), ALL, told) == otherwise
    assert asking_otherwise(Asking(), Added(), told) is None, "only what was added is taken back"


@pytest.mark.parametrize("status", [None, 401, 403, 404, 413, 429, 500, 503])
def test_other_errors_take_nothing_back(status: int | None) -> None:
    told = InbandError("stream_options, stream and reasoning_content", status=status)
    assert asking_otherwise(Asking(), ALL, told) is None


def test_an_empty_reasoning_that_is_refused_is_taken_back() -> None:
    told = InbandError("messages.1.reasoning_content: Extra inputs are not permitted", status=400)
    assert asking_otherwise(FILLED, ALL, told) == Asking()


@pytest.mark.parametrize(
    ("model", "fills"),
    [
        ("deepseek-v4-pro", True),
        ("deepseek-reasoner", True),
        ("moonshotai/Kimi-K2.5", True),
        ("mimo-v2-flash", True),
        ("deepseek-ai/DeepSeek-R1", False),
        ("kimi-vl", False),
        ("qwen3:8b", False),
        ("gpt-4o", False),
    ],
)
def test_families_that_demand_reasoning_beside_tool_calls(model: str, fills: bool) -> None:
    expected = Asking(fill_reasoning=fills)
    assert asking_of(family_of(model), "some-name") == asking_of(ModelConfig(), model) == expected


def test_the_memory_is_bounded() -> None:
    memory = AskingMemory()
    for number in range(1025):
        memory.note("http://u", f"m{number}", WITHOUT_USAGE)
        memory.note("http://u", "m1", WHOLE)
    assert memory.get("http://u", "m0") is None
    assert memory.get("http://u", "m1") == WHOLE
    assert memory.get("http://u", "m1024") == WITHOUT_USAGE
    assert memory.get("http://v", "m1024") is None
