from __future__ import annotations

import re

import pytest

from trio_gateway.core.config import ModelConfig
from trio_gateway.core.config.families import DEFAULT_MODELS, HEAD_MARKERS, family_of
from trio_gateway.core.reasoning import starts_in_reasoning

IDS = {
    "deepseek-r1": [
        "deepseek-ai/DeepSeek-R1",
        "deepseek-ai/DeepSeek-R1-0528",
        "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
        "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF",
        "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf",
        "deepseek/deepseek-r1-0528:free",
        "deepseek-r1:8b",
        "deepseek-r1-distill-llama-70b",
        "accounts/fireworks/models/deepseek-r1",
        "perplexity/r1-1776",
        "Qwen/QwQ-32B",
        "qwq:32b",
    ],
    "deepseek-v3.1": [
        "deepseek-ai/DeepSeek-V3.1",
        "deepseek-ai/DeepSeek-V3.2-Exp",
        "deepseek/deepseek-chat-v3.1:free",
        "deepseek-v3.1:671b",
        "accounts/fireworks/models/deepseek-v3p1",
        "deepseek-reasoner",
    ],
    "deepseek-v4": ["deepseek-ai/DeepSeek-V4-Pro", "deepseek-v4-flash", "deepseek/deepseek-chat-v4:free"],
    "kimi-k3": ["moonshotai/Kimi-K3", "kimi-k3"],
    "longcat-thinking": ["meituan-longcat/LongCat-Flash-Thinking-2601", "longcat-flash-thinking"],
    "solar-open": ["upstage/Solar-Open-100B", "solar-open-100b"],
    "hunyuan-3": ["tencent/Hy3-preview", "hunyuan-3", "tencent/hy3:free"],
    "mock-implied": ["mock-implied"],
    "mock-prose": ["mock-prose"],
    "qwen3": [
        "Qwen/Qwen3-8B",
        "Qwen/Qwen3-235B-A22B-FP8",
        "qwen3:8b",
        "qwen3:30b-a3b",
        "qwen/qwen3-32b",
        "qwen/qwen3-235b-a22b:free",
        "Qwen3-14B-Q4_K_M.gguf",
        "unsloth/Qwen3-4B-GGUF",
    ],
    "qwen3-thinking": [
        "Qwen/Qwen3-4B-Thinking-2507",
        "qwen/qwen3-235b-a22b-thinking-2507",
        "Qwen/Qwen3-Next-80B-A3B-Thinking",
        "qwen3-vl:8b-thinking",
        "Qwen3-30B-A3B-Thinking-2507-UD-Q4_K_XL.gguf",
    ],
    "qwen3.5": ["Qwen/Qwen3.5-397B-A17B", "qwen3.5:9b", "qwen/qwen3.5-27b"],
    "glm-4.5": [
        "zai-org/GLM-4.5-Air",
        "z-ai/glm-4.5-air:free",
        "zai-org/GLM-4.6-FP8",
        "glm-4.7",
        "zai-org/GLM-5",
    ],
    "kimi": ["moonshotai/Kimi-VL-A3B-Thinking-2506", "moonshotai/Kimi-Dev-72B", "kimi-k1.5"],
    "kimi-k2-thinking": [
        "moonshotai/Kimi-K2-Thinking",
        "kimi-k2-thinking:cloud",
        "moonshotai/kimi-k2.5",
        "kimi-k2.6",
    ],
    "magistral": [
        "mistralai/Magistral-Small-2509",
        "mistralai/magistral-small-2509",
        "magistral:24b",
        "mistralai/Ministral-3-8B-Reasoning-2512",
    ],
    "gpt-oss": ["openai/gpt-oss-120b", "gpt-oss:20b", "unsloth/gpt-oss-20b-GGUF"],
    "granite-3.2": ["ibm-granite/granite-3.2-8b-instruct", "granite3.2:8b"],
    "granite-3.3": ["ibm-granite/granite-3.3-2b-instruct", "granite3.3:8b"],
    "granite-4.2": ["ibm-granite/granite-4.2-8b"],
    "step3": ["stepfun-ai/step3", "stepfun/step-3.5-flash:free"],
    "minimax-m2": ["MiniMaxAI/MiniMax-M2", "minimax/minimax-m2.1"],
    "minimax-m3": ["MiniMaxAI/MiniMax-M3"],
    "nemotron-3": ["nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron-3-nano:30b"],
    "olmo-3-think": ["allenai/Olmo-3-7B-Think", "allenai/olmo-3.1-32b-think"],
    "command-a-reasoning": ["CohereLabs/command-a-reasoning-08-2025"],
    "command-r7b": ["CohereLabs/c4ai-command-r7b-12-2024", "command-r7b:7b"],
    "hunyuan": [
        "tencent/Hunyuan-A13B-Instruct",
        "tencent/hunyuan-a13b-instruct:free",
        "tencent/Hunyuan-7B-Instruct",
    ],
    "ernie-4.5-thinking": ["baidu/ERNIE-4.5-21B-A3B-Thinking"],
    "seed-oss": ["ByteDance-Seed/Seed-OSS-36B-Instruct", "seed-oss-36b-instruct-q4_k_m.gguf"],
    "gemma-4": ["google/gemma-4-26B-A4B-it", "gemma4:12b"],
    "exaone-deep": ["LGAI-EXAONE/EXAONE-Deep-32B", "exaone-deep:7.8b"],
    "phi-4-reasoning": [
        "microsoft/Phi-4-reasoning-plus",
        "phi4-reasoning:14b",
        "microsoft/Phi-4-mini-reasoning",
    ],
    "smollm3": ["HuggingFaceTB/SmolLM3-3B"],
    "lfm2": ["LiquidAI/LFM2-1.2B", "LiquidAI/LFM2.5-1.2B-Thinking"],
    "cogito": ["deepcogito/cogito-v1-preview-llama-70B", "cogito:8b"],
    "mimo": ["XiaomiMiMo/MiMo-7B-RL", "xiaomi/mimo-v2-flash:free"],
    "intern-s1": ["internlm/Intern-S1-mini"],
    "apriel-thinker": ["ServiceNow-AI/Apriel-1.5-15b-Thinker", "ServiceNow-AI/Apriel-Nemotron-15b-Thinker"],
    "apertus": ["swiss-ai/Apertus-8B-Instruct-2509"],
    "k2-horizon": ["LLM360/K2-Horizon"],
    "sky-t1": ["NovaSky-AI/Sky-T1-32B-Preview", "open-thoughts/OpenThinker-32B", "openthinker:7b"],
    "default": ["default"],
}
NONE = [
    "",
    "my-default",
    "default-model",
    "gpt-4o",
    "o3-mini",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "meta-llama/Llama-3.1-8B-Instruct",
    "llama3.1:8b",
    "Qwen/Qwen2.5-72B-Instruct",
    "qwen2.5-coder:7b",
    "Qwen/QwQ-32B-Preview",
    "Qwen/Qwen3-4B-Instruct-2507",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "qwen3-embedding:8b",
    "Qwen/Qwen3Guard-Gen-8B",
    "deepseek-ai/DeepSeek-V3-0324",
    "deepseek-v3-0324",
    "deepseek-ai/DeepSeek-V2.5",
    "deepseek-chat",
    "deepseek-coder:6.7b",
    "THUDM/glm-4-9b-chat",
    "THUDM/chatglm-6b",
    "moonshotai/Kimi-K2-Instruct-0905",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "mistralai/Ministral-8B-Instruct-2410",
    "ibm-granite/granite-4.0-h-small",
    "ibm-granite/granite-3.1-8b-instruct",
    "nvidia/Nemotron-4-340B-Instruct",
    "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF",
    "allenai/Olmo-3-7B-Instruct",
    "CohereLabs/c4ai-command-a-03-2025",
    "command-r-plus",
    "baidu/ERNIE-4.5-300B-A47B-PT",
    "google/gemma-3-4b-it",
    "LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct",
    "microsoft/phi-4",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "tencent/Hunyuan-MT-7B",
    "meituan-longcat/LongCat-Flash-Chat",
    "upstage/solar-pro",
]


@pytest.mark.parametrize(
    ("family", "model_id"), [(family, each) for family, ids in IDS.items() for each in ids]
)
def test_id_of_a_family(family: str, model_id: str) -> None:
    assert family_of(model_id) is DEFAULT_MODELS[family]


@pytest.mark.parametrize("model_id", NONE)
def test_id_of_no_family(model_id: str) -> None:
    model = family_of(model_id)
    assert model == ModelConfig(markers=HEAD_MARKERS)


def test_every_family_is_known_by_an_id() -> None:
    assert IDS.keys() == DEFAULT_MODELS.keys()


@pytest.mark.parametrize("name", DEFAULT_MODELS)
def test_a_family_is_complete(name: str) -> None:
    model = DEFAULT_MODELS[name]
    assert model.family == name
    assert re.compile(model.match).search("") is None
    assert model.markers
    assert (model.prose_starts != ()) is (name in {"default", "mock-prose"}), (
        "prose is guessed where nothing is known only"
    )
    assert model.keep_reasoning is (name == "minimax-m2")


def test_the_families_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="assignment"):
        DEFAULT_MODELS["mine"] = ModelConfig()  # type: ignore[index]


def test_which_start_in_reasoning() -> None:
    assert {name for name, model in DEFAULT_MODELS.items() if starts_in_reasoning(model, thinking=None)} == {
        *("deepseek-r1", "qwen3.5", "qwen3-thinking", "granite-4.2", "step3", "minimax-m2", "nemotron-3"),
        *("olmo-3-think", "command-a-reasoning", "ernie-4.5-thinking", "exaone-deep", "apriel-thinker"),
        *("k2-horizon", "deepseek-v4", "kimi-k2-thinking", "kimi-k3", "longcat-thinking", "mock-implied"),
    }
    assert {
        name for name, model in DEFAULT_MODELS.items() if model.starts_in_reasoning == "when_thinking"
    } == {
        *("deepseek-v3.1", "minimax-m3"),
    }
