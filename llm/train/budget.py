"""开训之前先算一算：多少参数、多少显存、每个词元多少次浮点运算；都与量出来的相等。"""

import os
from dataclasses import dataclass

import torch

from llm.config import LLMConfig


@dataclass(frozen=True)
class Budget:
    """一份配置要多少。

    单位：parameters、matmul 是个数，state、activations 是字节，flops 是每个词元（前向与反向）的
    浮点运算次数，一次乘加算两次。
    """

    parameters: int
    matmul: int
    tensors: int
    flops: int
    activations: int

    @property
    def state(self) -> int:
        """权重、梯度、AdamW 的两个矩各 4 字节，每个张量另有一个步数。单位：字节。"""
        return 16 * self.parameters + 4 * self.tensors


def budget(config: LLMConfig, batch: int, T: int) -> Budget:
    """由配置算出来，不建模型。

    每个词元的运算：前向里每个矩阵元素一次乘加，注意力另有 T 个键各两次（分数与加权和），
    反向是前向的两倍。激活只数非有不可的几样（残差、q、k、v、前馈层的中间值、logits），是下界。

    来源：Kaplan et al. 2020, Scaling Laws for Neural Language Models, §2.1。
    """
    C, D, inner = config.hidden_size, config.head_dim, config.intermediate_size
    H, K, V = config.num_attention_heads, config.num_key_value_heads, config.vocab_size
    L = config.num_hidden_layers
    projections = C * (H + 2 * K) * D + H * D * C  # q、k、v 与 o
    block = projections + 3 * C * inner
    biases = (H + 2 * K) * D * config.attention_bias + C * config.attention_output_bias
    norms = (4 if config.sandwich_norm else 2) * C + 2 * D * config.qk_norm
    matmul = L * block + V * C
    embedding = 0 if config.tie_word_embeddings else V * C
    in_block = 9 - config.fused_mlp + 2 * config.sandwich_norm + 2 * config.qk_norm
    in_block += 3 * config.attention_bias + config.attention_output_bias
    per_token = L * (2 * C + (2 * H + 2 * K) * D + 3 * inner) + 2 * V
    return Budget(
        parameters=matmul + L * (biases + norms) + C + embedding,
        matmul=matmul,
        tensors=L * in_block + (2 if config.tie_word_embeddings else 3),
        flops=3 * (2 * matmul + 4 * L * H * D * T),
        activations=4 * batch * T * per_token,
    )


def check_memory(config: LLMConfig, batch: int, T: int, device: torch.device) -> Budget:
    """算一算放不放得下，放不下就不开始。

    异常：权重、优化器与激活的下界已经多于这台机器的内存（或显存），抛 ValueError。
    """
    needed = budget(config, batch, T)
    total = memory(device)
    if total and needed.state + needed.activations > total:
        raise ValueError(
            f"放不下：权重、梯度与优化器要 {_gib(needed.state)}，激活至少 "
            f"{_gib(needed.activations)}，而这里一共 {_gib(total)}。"
            "把 batch、seq_len 或模型的尺寸改小；accumulate 不占显存。"
        )
    return needed


def memory(device: torch.device) -> int:
    """一共有多少内存（CUDA 上是显存）；系统不说的是 0。单位：字节。"""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
