"""OpenAI's Python client by its helper ``chat.completions.stream()``, which puts the answer together."""

from typing import Any

import openai

from tests.compat.drivers import PROMPT, TOOL, Json, Seen, look_up, raised


def drive(url: str, cuts: list[str]) -> Seen:
    client = openai.OpenAI(base_url=url + "/openai/v1", api_key="unused", max_retries=0)

    def ask(model: str, messages: list[Any], **more: Any) -> Any:
        with client.chat.completions.stream(model=model, messages=messages, **more) as stream:
            return stream.get_final_completion()

    asked: list[Json] = [{"role": "user", "content": PROMPT}]
    answer = ask("default", asked, stream_options={"include_usage": True})
    message = answer.choices[0].message
    wants = ask("mock-tools", asked, tools=[TOOL]).choices[0].message
    (call,) = wants.tool_calls
    result = look_up(**call.function.parsed_arguments)
    spoken = [*asked, wants, {"role": "tool", "tool_call_id": call.id, "content": result}]
    return Seen(
        version=openai.__version__,
        text=message.content,
        reasoning=message.reasoning_content,
        reasoning_at="message.reasoning_content",
        errors=raised(lambda model: ask(model, asked), cuts),
        tools=ask("mock-tools", spoken, tools=[TOOL]).choices[0].message.content,
        usage=[answer.usage.prompt_tokens, answer.usage.completion_tokens],
    )
