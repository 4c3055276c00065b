"""算出来的参数、显存与运算次数，与量出来的相等。"""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm.config import PRESETS, LLMConfig
from llm.model import LLMForCausalLM
from llm.train.budget import budget, check_memory
from llm.train.optim import build_optimizer

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "attention_backend": "manual",
}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", PRESETS)
def test_the_budget_is_what_is_measured(family: str, tied: bool) -> None:
    """运算次数与 FlopCounterMode 数的一个不差；状态的字节与优化器真正占的一个不差。"""
    config = LLMConfig.preset(family, **SIZES, tie_word_embeddings=tied)
    model = LLMForCausalLM(config)
    needed = budget(config, 2, 24)
    ids = torch.randint(61, (2, 24))
    with FlopCounterMode(display=False) as counted:
        model(ids, labels=ids).loss.backward()
    optimizer = build_optimizer(model, 1e-3, 0.1, (0.9, 0.95))
    optimizer.step()
    parameters = list(model.parameters())
    moments = [t for state in optimizer.state.values() for t in state.values()]
    held = [*parameters, *(p.grad for p in parameters), *moments]
    assert needed.parameters == sum(p.numel() for p in parameters)
    assert needed.tensors == len(parameters)
    assert needed.flops * 2 * 24 == counted.get_total_flops()
    assert needed.state == sum(t.numel() * t.element_size() for t in held)


@pytest.mark.parametrize("family", PRESETS)
def test_activations_are_a_lower_bound(family: str) -> None:
    """反向要用而留着的，比算出来的多，但不到六倍。"""
    config = LLMConfig.preset(family, **SIZES | {"attention_backend": "sdpa"})
    model, kept = LLMForCausalLM(config), dict[int, int]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(61, (2, 24))
    weights = sum(p.numel() * 4 for p in model.parameters())
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(ids, labels=ids, use_cache=False).loss
    measured = sum(kept.values()) - weights
    assert loss.requires_grad
    assert budget(config, 2, 24).activations <= measured <= 6 * budget(config, 2, 24).activations


def test_what_does_not_fit_is_refused_before_it_starts() -> None:
    huge = LLMConfig(hidden_size=65536, intermediate_size=262144, num_hidden_layers=200)
    with pytest.raises(ValueError, match=r"放不下：权重、梯度与优化器要 .* GiB"):
        check_memory(huge, 8, 2048, torch.device("cpu"))
    small = LLMConfig(**SIZES)
    assert check_memory(small, 2, 24, torch.device("cpu")) == budget(small, 2, 24)
