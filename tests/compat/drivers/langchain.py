"""LangChain, by the model for OpenAI's API and by the one for DeepSeek's, which differ in what they read."""

from functools import reduce
from importlib.metadata import version
from operator import add
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from tests.compat.drivers import PROMPT, Seen, look_up, raised


def openai(url: str, cuts: list[str]) -> Seen:
    from langchain_openai import ChatOpenAI

    seen = version("langchain-openai")
    return _drive(ChatOpenAI, {"base_url": url + "/openai/v1", "stream_usage": True}, seen, cuts)


def deepseek(url: str, cuts: list[str]) -> Seen:
    from langchain_deepseek import ChatDeepSeek

    seen = version("langchain-deepseek")
    return _drive(ChatDeepSeek, {"api_base": url + "/openai/v1", "stream_usage": True}, seen, cuts)


def _drive(kind: Any, options: dict[str, Any], seen: str, cuts: list[str]) -> Seen:
    def model(name: str) -> Any:
        return kind(model=name, api_key="unused", max_retries=0, **options)

    def ask(chat: Any, messages: Any) -> Any:
        return reduce(add, chat.stream(messages))

    answer = ask(model("default"), PROMPT)
    bound, tools = model("mock-tools").bind_tools([tool(look_up)]), tool(look_up)
    wants = ask(bound, [HumanMessage(PROMPT)])
    results = [tools.invoke(call) for call in wants.tool_calls]
    return Seen(
        version=seen,
        text=answer.content,
        reasoning=answer.additional_kwargs.get("reasoning_content", ""),
        reasoning_at='chunk.additional_kwargs["reasoning_content"]',
        errors=raised(lambda name: ask(model(name), PROMPT), cuts),
        tools=ask(bound, [HumanMessage(PROMPT), wants, *results]).content,
        usage=[answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]],
    )
