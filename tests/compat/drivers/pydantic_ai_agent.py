"""Pydantic AI: an agent that streams, and calls its tools by itself."""

import asyncio
from importlib.metadata import version
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.compat.drivers import PROMPT, Seen, look_up, raised


def drive(url: str, cuts: list[str]) -> Seen:
    def ask(name: str, tools: Any = ()) -> Any:
        provider = OpenAIProvider(base_url=url + "/openai/v1", api_key="unused")
        agent: Any = Agent(OpenAIChatModel(name, provider=provider), tools=tools)
        return asyncio.run(_streamed(agent))

    text, answer = ask("default")
    thoughts = [part.content for part in answer.parts if isinstance(part, ThinkingPart)]
    return Seen(
        version=version("pydantic-ai-slim"),
        text=text,
        reasoning="".join(thoughts),
        reasoning_at="ThinkingPart.content",
        errors=raised(ask, cuts),
        tools=ask("mock-tools", [look_up])[0],
        calls_tools=True,
        usage=[answer.usage.input_tokens, answer.usage.output_tokens],
    )


async def _streamed(agent: Any) -> tuple[str, Any]:
    """The text as it came, and the message it was part of."""
    async with agent.run_stream(PROMPT) as result:
        text = "".join([delta async for delta in result.stream_text(delta=True)])
        return text, result.all_messages()[-1]
