"""llm 的测试共用：单线程、固定种子、不联网，以及权重相同的一对小模型。"""

import os
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import transformers
from transformers import (
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from llm import LLMConfig, LLMForCausalLM

THEIRS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
}
# 键值头少于查询头（GQA），o 投影不是方阵（4 × 16 ≠ 32）
SHAPE = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}
NO_TOKENS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}

Tiny = Callable[..., LLMForCausalLM]
Pair = Callable[..., tuple[PreTrainedModel, LLMForCausalLM]]


@pytest.fixture(autouse=True)
def steady() -> Iterator[None]:
    """一个线程、同一个种子；transformers 不打印进度与提醒。"""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """向别的机器连接就是失败。"""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"测试不该联网：{address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@torch.no_grad()
def perturb(model: PreTrainedModel, scale: float = 0.1) -> None:
    """扰动每个参数：默认的偏置全是 0、归一化权重全是 1，丢了、换了都看不出来。"""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=scale)


@pytest.fixture
def tiny() -> Tiny:
    """`tiny(family, **overrides)`：一个每个参数都扰动过的小模型。"""

    def build(family: str = "llama", **overrides: Any) -> LLMForCausalLM:
        model = LLMForCausalLM(LLMConfig.preset(family, **{**SHAPE, **overrides})).eval()
        perturb(model)
        return model

    return build


@pytest.fixture
def theirs() -> Callable[..., PreTrainedModel]:
    """`theirs(family, **overrides)`：transformers 里那一家的小模型，每个参数都扰动过。"""

    def build(family: str, **overrides: Any) -> PreTrainedModel:
        config_class, model_class = THEIRS[family]
        model = model_class(config_class(**{**SHAPE, **NO_TOKENS, **overrides})).eval()
        perturb(model)
        return model

    return build


@pytest.fixture
def pair(theirs: Callable[..., PreTrainedModel]) -> Pair:
    """`pair(family, backend, **overrides)`：权重相同的 (transformers 的, 我们的)。"""

    def build(
        family: str, backend: str = "sdpa", **overrides: Any
    ) -> tuple[PreTrainedModel, LLMForCausalLM]:
        reference = theirs(family, **overrides)
        fields = {**SHAPE, **overrides, "attention_backend": backend}
        if family in ("llama", "qwen3"):  # 这两家的一个开关连 o 投影一起管
            fields["attention_output_bias"] = fields.get("attention_bias", False)
        fields.setdefault("rms_norm_eps", reference.config.rms_norm_eps)
        ours = LLMForCausalLM(LLMConfig.preset(family, **fields)).eval()
        ours.load_state_dict(reference.state_dict(), strict=True)
        return reference, ours

    return build


@pytest.fixture
def random_shape() -> Callable[[int], dict[str, Any]]:
    """`random_shape(seed)`：随机的小尺寸，头数、键值头数、头宽互不相干。"""

    def draw(seed: int) -> dict[str, Any]:
        dice = random.Random(seed)
        groups, heads = dice.choice([(1, 4), (2, 2), (2, 6), (3, 3), (1, 5)])
        return {
            "vocab_size": dice.randint(20, 90),
            "hidden_size": dice.choice([12, 24, 40]),
            "intermediate_size": dice.randint(5, 60),
            "num_hidden_layers": dice.randint(1, 3),
            "num_attention_heads": heads,
            "num_key_value_heads": groups,
            "head_dim": dice.choice([8, 12, 20]),
            "rms_norm_eps": dice.choice([1e-6, 1e-5]),
            "tie_word_embeddings": dice.random() < 0.5,
        }

    return draw
