"""Model families: recognise models by id and know how they mark reasoning.

An id is what a host calls a model: ``deepseek-ai/DeepSeek-R1-Distill-Qwen-32B``, ``qwen3:8b``,
``mistralai/magistral-small-2509``. The first family whose pattern is found in it, in either case, is its own,
so the special stand before the general. Where a family's chat template opens the block in some set-ups and
not in others, it is not assumed to: an answer that needs no assumption is shown at once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from . import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MODELS", "GENERIC_MARKERS", "HEAD_MARKERS", "declares_markers", "family_of"]

_THINK: Final = (("<think>", "</think>"),)
GENERIC_MARKERS: Final = tuple(
    (f"<{name}>", f"</{name}>") for name in ("think", "thinking", "reasoning", "reason", "thought")
)
"""What a model is prompted to write that goes by no name of its own."""
HEAD_MARKERS: Final = GENERIC_MARKERS[:2]
"""What counts at the head of any model's answer. The other tags are elements that people ask for as XML."""
_TOOL_CALL: Final = ("<tool_call>",)

_PROSE_STARTS: Final = ("Let me think", "Let's analyze")
_PROSE_ENDS: Final = ("Therefore,", "In conclusion,", "The answer is")
_GRANITE_STARTS: Final = ("Here is my thought process:", "Here's my thought process:")
_GRANITE_ENDS: Final = ("Here is my response:", "Here's my response:")
_COHERE: Final = ModelConfig(
    # The answer's own opener ends the block too: without thinking it comes first.
    markers=(("<|START_THINKING|>", "<|END_THINKING|>"), ("<|START_THINKING|>", "<|START_RESPONSE|>")),
    wrappers=(("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("", "<|END_RESPONSE|>")),
    tool_markers=("<|START_ACTION|>",),
)

_UNKNOWN: Final = ModelConfig(markers=HEAD_MARKERS)

_FAMILIES: Final = {
    "deepseek-r1": ModelConfig(
        match=r"deepseek[-_ ]?r1|\br1-1776|\bqwq(?!.{0,99}preview)", markers=_THINK, starts_in_reasoning=True
    ),
    "deepseek-v3.1": ModelConfig(
        match=r"deepseek[-_ ]?(?:chat-)?v3[.p][1-9]|deepseek-reasoner",
        markers=_THINK,
        starts_in_reasoning="when_thinking",
        tool_markers=("<｜tool▁calls▁begin｜>", "<｜DSML｜function_calls>"),
        thinking_switch="thinking",
    ),
    "deepseek-v4": ModelConfig(
        match=r"deepseek[-_ ]?(?:chat-)?v[4-9]",
        markers=_THINK,
        starts_in_reasoning=True,
        tool_markers=("<｜DSML｜tool_calls>", "<｜DSML｜function_calls>"),
        thinking_switch="thinking",
    ),
    "qwen3.5": ModelConfig(
        match=r"qwen-?3[.p][5-9]",
        markers=_THINK,
        starts_in_reasoning=True,
        tool_markers=_TOOL_CALL,
        thinking_switch="enable_thinking",
    ),
    "qwen3-thinking": ModelConfig(
        match=r"qwen-?3.{0,99}thinking", markers=_THINK, starts_in_reasoning=True, tool_markers=_TOOL_CALL
    ),
    "qwen3": ModelConfig(
        match=r"qwen-?3(?![.p\d])(?!.{0,99}(?:instruct|coder|embed|rerank|guard))",
        markers=_THINK,
        tool_markers=_TOOL_CALL,
        thinking_switch="enable_thinking",
    ),
    "glm-4.5": ModelConfig(
        match=r"(?<![a-z])glm-?(?:4[.p][5-9]|[5-9])",
        markers=_THINK,
        tool_markers=_TOOL_CALL,
        thinking_switch="enable_thinking",
    ),
    "kimi-k2-thinking": ModelConfig(
        match=r"kimi-?k2.{0,99}thinking|kimi-?k2[.p][5-9]",
        markers=_THINK,
        starts_in_reasoning=True,
        tool_markers=("<|tool_calls_section_begin|>",),
        thinking_switch="thinking",
    ),
    "kimi-k3": ModelConfig(
        match=r"kimi-?k3",
        markers=(("<|open|>think<|sep|>", "<|close|>think<|sep|>"),),
        starts_in_reasoning=True,
        wrappers=(
            ("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
            ("", "<|close|>message<|sep|>"),
            ("", "<|end_of_msg|>"),
        ),
        tool_markers=("<|open|>tools<|sep|>",),
        thinking_switch="thinking",
    ),
    "kimi": ModelConfig(
        match=r"kimi-?vl|kimi-?(?:k1|dev)|kimi-thinking-preview", markers=(("◁think▷", "◁/think▷"),)
    ),
    "magistral": ModelConfig(
        match=r"magistral|ministral.{0,99}reasoning",
        markers=(("[THINK]", "[/THINK]"), *_THINK),  # the first Magistral wrote tags
    ),
    "gpt-oss": ModelConfig(
        match=r"gpt-?oss",
        markers=(("<reasoning>", "</reasoning>"),),  # as Bedrock writes it
        dialect="harmony",
    ),
    "granite-3.2": ModelConfig(
        match=r"granite-?3[.p]2",
        markers=tuple((start, end) for start in _GRANITE_STARTS for end in _GRANITE_ENDS),
        thinking_switch="thinking",
    ),
    "granite-3.3": ModelConfig(
        match=r"granite-?3[.p]3",
        markers=_THINK,
        wrappers=(("<response>", "</response>"),),
        thinking_switch="thinking",
    ),
    "granite-4.2": ModelConfig(match=r"granite-?4[.p][2-9]", markers=_THINK, starts_in_reasoning=True),
    "step3": ModelConfig(match=r"\bstep-?3(?!\d)", markers=_THINK, starts_in_reasoning=True),
    "minimax-m2": ModelConfig(
        match=r"minimax-?m2", markers=_THINK, starts_in_reasoning=True, keep_reasoning=True
    ),
    "minimax-m3": ModelConfig(
        match=r"minimax-?m3",
        markers=(("<mm:think>", "</mm:think>"), *_THINK),  # the vendor's API writes the latter
        starts_in_reasoning="when_thinking",
        wrappers=(("", "</mm:think>"),),  # without thinking the end may come all the same
    ),
    "nemotron-3": ModelConfig(
        match=r"nemotron-?3(?!\d)",
        markers=_THINK,
        starts_in_reasoning=True,
        tool_markers=_TOOL_CALL,
        thinking_switch="enable_thinking",
    ),
    "olmo-3-think": ModelConfig(match=r"olmo-?3.{0,99}think", markers=_THINK, starts_in_reasoning=True),
    "command-a-reasoning": replace(_COHERE, match=r"command-?a-reasoning", starts_in_reasoning=True),
    "command-r7b": replace(_COHERE, match=r"command-?r7b"),
    "longcat-thinking": ModelConfig(
        match=r"longcat.{0,99}thinking",
        markers=(("<longcat_think>", "</longcat_think>"),),
        starts_in_reasoning=True,
        tool_markers=("<longcat_tool_call>",),
        thinking_switch="enable_thinking",
    ),
    "solar-open": ModelConfig(
        match=r"solar-?open",
        markers=(("<|think|>", "<|end|>"),),
        wrappers=(
            ("<|begin|>assistant<|content|>", "<|end|>"),
            ("<|content|>", "<|end|>"),
            ("", "<|flush|>"),
        ),
        tool_markers=("<|begin|>assistant<|tool_calls|>", "<|tool_calls|>"),
    ),
    "hunyuan-3": ModelConfig(
        match=r"\b(?:hunyuan|hy)-?3(?![\d.])(?!b\b)",
        markers=(*_THINK, ("<think:opensource>", "</think:opensource>")),
        tool_markers=("<tool_calls>", "<tool_calls:opensource>"),
    ),
    "hunyuan": ModelConfig(
        match=r"hunyuan-?(?:a13b|\d+(?:\.\d+)?b)",
        markers=_THINK,
        wrappers=(("<answer>", "</answer>"),),
        tool_markers=("<tool_calls>",),
        thinking_switch="enable_thinking",
    ),
    "ernie-4.5-thinking": ModelConfig(
        match=r"ernie-?4\.5.{0,99}thinking",
        markers=_THINK,
        starts_in_reasoning=True,
        wrappers=(("<response>", "</response>"),),
    ),
    "seed-oss": ModelConfig(
        match=r"seed-?oss", markers=(("<seed:think>", "</seed:think>"),), tool_markers=("<seed:tool_call>",)
    ),
    "gemma-4": ModelConfig(
        match=r"gemma-?4",
        markers=(("<|channel>", "<channel|>"), ("<thought>", "</thought>")),  # hosts write the latter
        label="thought\n",
        thinking_switch="enable_thinking",
    ),
    "exaone-deep": ModelConfig(
        match=r"exaone-?deep", markers=(("<thought>", "</thought>"),), starts_in_reasoning=True
    ),
    "phi-4-reasoning": ModelConfig(match=r"phi-?4.{0,99}reasoning", markers=_THINK),
    "smollm3": ModelConfig(match=r"smollm-?3", markers=_THINK, thinking_switch="enable_thinking"),
    "lfm2": ModelConfig(match=r"\blfm-?2", markers=_THINK),
    "cogito": ModelConfig(match=r"\bcogito", markers=_THINK, thinking_switch="enable_thinking"),
    "mimo": ModelConfig(match=r"\bmimo\b", markers=_THINK, thinking_switch="enable_thinking"),
    "intern-s1": ModelConfig(match=r"intern-?s1", markers=_THINK, thinking_switch="enable_thinking"),
    "apriel-thinker": ModelConfig(
        match=r"apriel.{0,99}thinker",
        markers=(("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),),
        starts_in_reasoning=True,
        wrappers=(("", "[END FINAL RESPONSE]"),),
    ),
    "apertus": ModelConfig(match=r"apertus", markers=(("<|inner_prefix|>", "<|inner_suffix|>"),)),
    "k2-horizon": ModelConfig(
        match=r"k2-?horizon",
        markers=tuple((f"<ifm|think{pace}>", f"</ifm|think{pace}>") for pace in ("", "_fast", "_faster")),
        starts_in_reasoning=True,
    ),
    "sky-t1": ModelConfig(
        match=r"sky-?t1|open-?think|open-?thoughts",
        markers=(
            ("<|begin_of_thought|>", "<|end_of_thought|>"),
            *_THINK,
        ),  # the third OpenThinker writes tags
        wrappers=(("<|begin_of_solution|>", "<|end_of_solution|>"),),
    ),
    "mock-implied": ModelConfig(match=r"^mock-implied$", markers=_THINK, starts_in_reasoning=True),
    "mock-prose": ModelConfig(
        match=r"^mock-prose$", markers=HEAD_MARKERS, prose_starts=_PROSE_STARTS, prose_ends=_PROSE_ENDS
    ),
    "default": ModelConfig(
        match=r"^default$",
        markers=GENERIC_MARKERS,
        prose_starts=_PROSE_STARTS,
        prose_ends=_PROSE_ENDS,
    ),
}

DEFAULT_MODELS: Final[Mapping[str, ModelConfig]] = MappingProxyType(
    {name: replace(model, family=name) for name, model in _FAMILIES.items()}
)
"""The families by name, in the order in which they are tried.

``default`` is for the model that goes by no other name: it may be prompted to think in tags or in prose.
"""

_PATTERNS: Final = tuple((re.compile(model.match, re.IGNORECASE), model) for model in DEFAULT_MODELS.values())


@lru_cache(maxsize=1024)
def family_of(model_id: str) -> ModelConfig:
    """The family of a model. One that is not known has no family: it is looked through for the usual tags.

    >>> family_of("Qwen/Qwen3-4B-Thinking-2507").family, family_of("gpt-4o").family
    ('qwen3-thinking', '')
    """
    return next((model for pattern, model in _PATTERNS if pattern.search(model_id)), _UNKNOWN)


def declares_markers(model: ModelConfig) -> bool:
    """Whether the configuration's entry sets its own markers, other than those of its family."""
    return model.markers != DEFAULT_MODELS.get(model.family, _UNKNOWN).markers
