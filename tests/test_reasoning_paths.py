"""Every family through the running gateway: streamed character by character, as text and as a field of its
own, with two choices and with tool calls; the final output and the reasoning itself are exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import (
    DONE,
    HEAD,
    Answer,
    Client,
    Json,
    ask,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    upstream_toml,
)
from trio_gateway.core.config.families import DEFAULT_MODELS

if TYPE_CHECKING:
    from trio_gateway.core.config import ModelConfig

THOUGHT = "First I add 2 and 2.\n\nThe sum is < 5, and I check it: 4."
ANSWER = "The answer is 4.\n\n```html\n<think>not a thought</think>\n```\nBye!"
CALL = [
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
]


def marked(model: ModelConfig, *, starts: bool) -> str:
    """THOUGHT and ANSWER as a model of that family writes them."""
    if model.dialect == "harmony":
        return (
            f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant"
            f"<|channel|>final<|message|>{ANSWER}<|return|>"
        )
    start, end = model.markers[0]
    opening, closing = next(((a, b) for a, b in model.wrappers if a), ("", ""))
    label = model.label
    return f"{'' if starts else start + label}{THOUGHT}{end}\n\n{opening}{ANSWER}{closing}"


def characters(text: str, *, index: int = 0, field: str = "content") -> bytes:
    return b"".join(sse_chunk({field: character}, index=index) for character in text)


def raw_reasoning(answer: Answer, index: int = 0) -> str:
    return "".join(
        choice["delta"].get("reasoning_content", "")
        for each in answer.objects
        for choice in each.get("choices", [])
        if choice["index"] == index
    )


def configured(name: str, url: str) -> str:
    """A file whose model ``default`` is of that family."""
    return upstream_toml(url, model=f'family = "{name}"')


FAMILIES = list(DEFAULT_MODELS)


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_family_in_its_text(name: str) -> None:
    model = DEFAULT_MODELS[name]
    text = marked(model, starts=model.starts_in_reasoning is True)
    body = HEAD + characters(text) + sse_chunk(finish="stop") + DONE
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(configured(name, upstream.url))) as client,
    ):
        summarised = await ask(client, chat())
        raw = await ask(client, chat(gateway={"reasoning": "raw"}))
        whole = (
            await client.post("/v1/chat/completions", json=chat(stream=False, gateway={"reasoning": "raw"}))
        ).json()
    assert summarised.output == ANSWER
    assert raw_reasoning(summarised) == ""
    assert (raw.output, raw_reasoning(raw)) == (ANSWER, THOUGHT)
    message = whole["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (ANSWER, THOUGHT)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("name", ["deepseek-r1", "qwen3", "gpt-oss", "default"])
async def test_a_family_in_fields(name: str, field: str) -> None:
    body = HEAD + characters(THOUGHT, field=field) + characters(ANSWER) + sse_chunk(finish="stop") + DONE
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(configured(name, upstream.url))) as client,
    ):
        raw = await ask(client, chat(gateway={"reasoning": "raw"}))
    assert (raw.output, raw_reasoning(raw)) == (ANSWER, THOUGHT)


@pytest.mark.parametrize("name", ["deepseek-r1", "qwen3", "granite-3.2", "gpt-oss"])
async def test_two_choices_and_a_tool_call(name: str) -> None:
    model = DEFAULT_MODELS[name]
    text = marked(model, starts=model.starts_in_reasoning is True)
    pairs = b"".join(sse_chunk({"content": character}, index=index) for character in text for index in (1, 0))
    calls = b"".join(
        sse_chunk({"tool_calls": [{**CALL[0], "function": part}]}, index=1)
        for part in ({"name": "add", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": " 2}"})
    )
    body = HEAD + pairs + calls + sse_chunk(finish="tool_calls", index=1) + sse_chunk(finish="stop") + DONE
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(configured(name, upstream.url))) as client,
    ):
        raw = await ask(client, chat(n=2, gateway={"reasoning": "raw"}))
    arguments = [
        call["function"]["arguments"]
        for each in raw.objects
        for choice in each.get("choices", [])
        for call in choice["delta"].get("tool_calls", [])
    ]
    for index in (0, 1):
        assert (raw.text("final_output", index), raw_reasoning(raw, index)) == (ANSWER, THOUGHT)
    assert "".join(arguments) == '{"a": 2}'
    assert raw.finish_reasons == ["tool_calls", "stop"]


async def test_both_shows_lines_and_the_reasoning_itself() -> None:
    body = HEAD + characters(f"<think>{THOUGHT}</think>4") + sse_chunk(finish="stop") + DONE
    async with (
        open_upstream(plays(body)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        both = await ask(client, chat(gateway={"reasoning": "both"}))
        off = await ask(client, chat(gateway={"reasoning": "off"}))
    assert both.text("reasoning_summary").startswith("[Reasoning Summary] ")
    assert raw_reasoning(both) == THOUGHT
    assert both.phases == ["prompt_summary", "reasoning_summary", "final_output"]
    assert (off.phases, raw_reasoning(off), off.output) == (["prompt_summary", "final_output"], "", "4")


async def test_shown_reasoning_binds_and_gathered_reasoning_does_not() -> None:
    cut = HEAD + characters("<think>First I add")
    toml = "max_attempts = 2"
    async with (
        open_upstream(plays(cut, text_answer("<think>x</think>4"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=toml))) as client,
    ):
        streamed = await ask(client, chat(gateway={"reasoning": "raw"}))
        assert streamed.error is not None
        assert (streamed.error["code"], streamed.error["phase"]) == ("truncated", "reasoning_summary")
        assert raw_reasoning(streamed) == "First I add"
    async with (
        open_upstream(
            plays(cut + characters("</think>half an"), text_answer("<think>x</think>4"))
        ) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, upstream=toml))) as client,
    ):
        body = chat(stream=False, gateway={"reasoning": "raw"})
        whole = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
        assert (whole["content"], whole["reasoning_content"]) == ("4", "x")


async def capabilities(client: Client, model: str) -> Json:
    return (await client.get(f"/v1/models/{model}")).json()["capabilities"]  # type: ignore[no-any-return]


async def test_of_the_default_model_no_start_is_learned() -> None:
    implied = text_answer("I add 2 and 2.\n", "</think>\n", "4")
    async with (
        open_upstream(plays(implied)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        outputs = [(await ask(client, chat(seed=seed))).output for seed in range(5)]
        shown = await capabilities(client, "default")
    assert outputs == ["I add 2 and 2.\n4"] * 5
    assert shown["starts_in_reasoning"] is False


async def test_an_assumption_that_does_not_hold_costs_no_answer() -> None:
    async with (
        open_upstream(plays(text_answer("just the answer"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, model="starts_in_reasoning = true"))) as client,
    ):
        answers = [await ask(client, chat(gateway={"reasoning": "raw"})) for _ in range(3)]
        shown = await capabilities(client, "default")
        metrics = (await client.get("/metrics")).text
    assert [answer.output for answer in answers] == ["just the answer"] * 3
    assert [raw_reasoning(answer) for answer in answers] == ["just the answer"] * 3
    assert shown["starts_in_reasoning"] is True
    assert "gateway_promotions_total 3.0" in metrics


async def test_what_was_learned_of_the_one_model_of_an_upstream_is_shown_for_default() -> None:
    structured = HEAD + sse_chunk({"reasoning": "I add."}) + sse_chunk({"content": "4"}, finish="stop") + DONE
    async with (
        open_upstream(plays(structured)) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, model="starts_in_reasoning = true"))) as client,
    ):
        client.app.gateway.backends["a"].traffic.models = ("the-model",)
        before = await capabilities(client, "default")
        await ask(client, chat())
        after = await capabilities(client, "default")
    assert upstream.requests[0]["model"] == "the-model"
    assert (before["starts_in_reasoning"], after["starts_in_reasoning"]) == (True, False)


@pytest.mark.parametrize(
    ("effort", "sent", "output"),
    [
        ("none", {"chat_template_kwargs": {"enable_thinking": False}}, "4</think>5"),
        ("minimal", {"chat_template_kwargs": {"enable_thinking": False}}, "4</think>5"),
        ("high", {"reasoning_effort": "high"}, "5"),
    ],
)
async def test_effort_becomes_the_thinking_switch(effort: str, sent: Json, output: str) -> None:
    model = 'thinking_switch = "enable_thinking"\nstarts_in_reasoning = true'
    async with (
        open_upstream(plays(text_answer("4</think>5"))) as upstream,
        open_gateway(settings(upstream_toml(upstream.url, model=model))) as client,
    ):
        answer = await ask(client, chat(reasoning_effort=effort))
    (request,) = upstream.requests
    assert {
        key: request[key] for key in ("reasoning_effort", "chat_template_kwargs") if key in request
    } == sent
    assert answer.output == output


async def test_history_is_cleaned_of_our_summaries_and_of_old_thoughts() -> None:
    fed_back = "[Prompt Summary] Adding\n\n[Reasoning Summary] one\ntwo\n\n<think>old</think>4"
    messages = [
        {"role": "user", "content": "2+2?"},
        {
            "role": "assistant",
            "content": fed_back,
            "reasoning_content": "[Prompt Summary] Adding",
            "reasoning": "own",
        },
        {"role": "user", "content": "and 3+3?"},
    ]
    async with (
        open_upstream(plays(text_answer("6"))) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        await ask(client, {"messages": messages})
    assert upstream.requests[0]["messages"] == [
        messages[0],
        {"role": "assistant", "content": "4", "reasoning": "own"},
        messages[2],
    ]
