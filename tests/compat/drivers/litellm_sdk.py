"""LiteLLM's SDK, with the provider ``openai/`` as its documents say for a compatible server."""

import json
from importlib.metadata import version
from typing import Any

import litellm

from tests.compat.drivers import PROMPT, TOOL, Json, Seen, look_up, raised


def drive(url: str, cuts: list[str]) -> Seen:
    def ask(model: str, messages: list[Any], **more: Any) -> list[Any]:
        where = {"api_base": url + "/openai/v1", "api_key": "unused"}
        usage = {"include_usage": True}
        return list(
            litellm.completion(
                model=f"openai/{model}", messages=messages, stream=True, stream_options=usage, **where, **more
            )
        )

    asked: list[Json] = [{"role": "user", "content": PROMPT}]
    chunks = ask("default", asked)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    (usage,) = (chunk.usage for chunk in chunks if getattr(chunk, "usage", None))
    wants: Any = litellm.stream_chunk_builder(ask("mock-tools", asked, tools=[TOOL]))
    message = wants.choices[0].message
    (call,) = message.tool_calls
    result = look_up(**json.loads(call.function.arguments))
    spoken = [*asked, message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    said: Any = litellm.stream_chunk_builder(ask("mock-tools", spoken, tools=[TOOL]))
    return Seen(
        version=version("litellm"),
        text="".join(delta.content or "" for delta in deltas),
        reasoning="".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas),
        reasoning_at="delta.reasoning_content",
        errors=raised(lambda model: ask(model, asked), cuts),
        tools=said.choices[0].message.content,
        usage=[usage.prompt_tokens, usage.completion_tokens],
    )
