"""张量流的图、参数个数、浮点运算数、缓存字节数，与网页要用的数据。"""

import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS
from llm.lab.flow import (
    BACKENDS,
    DECODE,
    PREFILL,
    boxes,
    cache_bytes,
    flops,
    parameter_count,
    viewer_data,
)
from llm.lab.shapes import SIZES, evaluate, sizes, trace
from rizhi.snippets.stream import MAX_OUTPUT

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


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(viewer_data({"apply_rotary": "../attention/rope.md"}))
    return read


def test_viewer_data_fits_in_a_cell(data: dict[str, Any]) -> None:
    text = viewer_data(data["links"])
    assert len(text) < MAX_OUTPUT / 2  # 两格的余量：再多一倍的图也放得下
    assert max(map(len, text.splitlines())) < 4000  # 一行一项，差别才读得懂


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", PRESETS)
def test_viewer_data_has_every_branch(data: dict[str, Any], family: str, backend: str) -> None:
    """图上的框、箭头与两列的值，展开之后就是两次跟踪。"""
    variant = data["variants"][family][backend]
    made = config(family, num_hidden_layers=1, attention_backend=backend)
    runs = {"prefill": trace(made, *PREFILL), "decode": trace(made, *DECODE)}
    flow = boxes(runs["decode"])
    drawn = [(data["boxes"][index], inputs) for index, inputs in variant["boxes"]]
    assert [(box[3], box[4], inputs) for box, inputs in drawn] == [
        (box.line, list(box.letters), list(box.inputs)) for box in flow
    ]
    ahead = {(b.module, b.line, *b.letters) for b in boxes(runs["prefill"])}
    alone = {box[0] for box, _ in drawn if box[6:] == ["decode"]}
    assert alone == {b.title for b in flow if (b.module, b.line, *b.letters) not in ahead}
    values = [data["values"][index] for index in variant["values"]]
    listed = {number for _, code in data["source"] for number, _ in code}
    for side, rows in runs.items():
        ran = {(line, text) for line, _, text, *only in values if side in (only or [side])}
        assert ran == {(r.line, r.text) for r in rows if "T+1" not in r.letters}
        assert {line for line, _ in ran} <= listed
    assert SIZES["head_dim"] % 4 == 0  # R = D/2 时 R/2 也是整数


@pytest.mark.parametrize("family", PRESETS)
def test_totals_are_what_llm_counts(data: dict[str, Any], family: str) -> None:
    made = config(family)
    letters = {**sizes(made, 3, 5), "L": 2, "W": 2}
    totals = data["variants"][family]["sdpa"]["totals"]
    counted = [parameter_count(made), flops(made, 3, 5), cache_bytes(made, 3, 5, itemsize=2)]
    assert [evaluate(text, letters) for text in totals] == counted
