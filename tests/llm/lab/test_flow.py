"""张量流的图、参数个数、浮点运算数、缓存字节数，与网页要用的数据。"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS
from llm.lab.flow import DECODE, PREFILL, boxes, cache_bytes, flops, main, page, parameter_count
from llm.lab.shapes import SIZES, trace

DATA = Path(__file__).resolve().parents[3] / "docs/assets/tensor-flow-data.js"
SMALL = {"hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 12}
SMALL |= {"vocab_size": 50, "intermediate_size": 36, "num_hidden_layers": 2}


def config(family: str, **overrides: Any) -> LLMConfig:
    return LLMConfig.preset(family, **{**SMALL, **overrides})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", PRESETS)
def test_parameters_are_all_counted(family: str, tied: bool) -> None:
    made = config(family, tie_word_embeddings=tied)
    real = sum(weight.numel() for weight in LLMForCausalLM(made).parameters())
    assert parameter_count(made) == real


@pytest.mark.parametrize("family", PRESETS)
def test_flops_are_what_torch_counts(family: str) -> None:
    made = config(family, attention_backend="manual", tie_word_embeddings=True)
    model = LLMForCausalLM(made).eval()
    ids = torch.zeros(3, 9, dtype=torch.long)
    cache = model(ids[:, :5]).past_key_values
    for given, past, length in ((None, 0, 9), (cache, 5, 4)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(ids[:, :length], past_key_values=given)
        assert counter.get_total_flops() == flops(made, 3, length, past)


def test_cache_is_as_large_as_the_cache() -> None:
    made = config("qwen3")
    cache = LLMForCausalLM(made)(torch.zeros(3, 7, dtype=torch.long)).past_key_values
    real = sum(t.nbytes for layer in cache.layers for t in (layer.keys, layer.values))
    assert cache_bytes(made, 3, 7) == real == 2 * cache_bytes(made, 3, 7, itemsize=2)


def test_flow_runs_from_ids_to_next_token() -> None:
    flow = boxes(trace(config("llama", num_hidden_layers=1), *PREFILL))
    assert flow[0].letters == ("(B, T)",) and flow[-1].letters == ("(B, 1)",)
    used = {index for box in flow for index in box.inputs}
    assert used == set(range(len(flow) - 1))  # 除了最后一个，个个都通向下一个词元
    assert all(max(box.inputs, default=-1) < i for i, box in enumerate(flow))


def edges(family: str, backend: str, how: tuple[int, int, int]) -> set[tuple[str, str]]:
    made = config(family, num_hidden_layers=1, attention_backend=backend)
    flow = boxes(trace(made, *how))
    return {(flow[source].title, box.title) for box in flow for source in box.inputs}


def test_arrows_follow_the_data() -> None:
    llama = edges("llama", "sdpa", PREFILL)
    assert {("x", "input_layernorm"), ("input_layernorm", "q"), ("q", "q = apply_rotary")} <= llama
    assert {("x", "x"), ("self_attn", "x"), ("x", "layers.0"), ("mlp", "layers.0")} <= llama  # 残差
    assert ("v", "k, v") in llama and ("v", "q = apply_rotary") not in llama  # v 不旋转
    assert ("layer_past", "k, v") in edges("llama", "sdpa", DECODE) - llama
    glm4 = edges("glm4", "manual", DECODE)
    assert {("self_attn", "post_self_attn_layernorm"), ("repeat_kv", "y")} <= glm4
    assert ("self_attn", "x") not in glm4  # 先归一化再加回


def test_page_data_is_fresh(tmp_path: Path) -> None:
    said = "llm 改过之后要重新生成：python -m llm.lab.flow docs/assets/tensor-flow-data.js"
    assert DATA.read_text("utf-8") == page(), said
    main([str(tmp_path / "data.js")])
    assert (tmp_path / "data.js").read_text("utf-8") == page()


def test_page_data_has_every_branch() -> None:
    data = json.loads(page().partition("=")[2].rstrip(";\n"))
    assert set(data["families"]) == set(PRESETS)
    lines = {number for _, rows in data["source"] for number, _ in rows}
    for family in data["families"].values():
        for backend in ("sdpa", "manual"):
            for side in ("prefill", "decode"):
                assert {int(line) for line in family[backend][side]} <= lines
    assert SIZES["head_dim"] % 4 == 0  # R = D/2 时 R/2 也是整数
