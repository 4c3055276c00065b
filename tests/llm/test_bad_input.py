"""形状不对就用中文说出实际的数；要读数据的检查在编译时跳过，图保持完整。"""

import pytest
import torch
from transformers import DynamicCache, EncoderDecoderCache, StaticCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from llm.model import causal_mask, greedy_generate

IDS = torch.arange(12).view(2, 6)


def _pairs(*shape: int, layers: int = 2) -> tuple:
    return ((torch.zeros(shape), torch.zeros(shape)),) * layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": IDS[0]}, r"input_ids 的形状是 \(6,\)，应为 \(B, T\)"),
        ({"input_ids": IDS[:, :0]}, r"input_ids 的形状是 \(2, 0\)"),
        ({"input_ids": IDS[:0]}, r"input_ids 的形状是 \(0, 6\)"),
        ({"input_ids": IDS[None]}, r"input_ids 的形状是 \(1, 2, 6\)"),
        ({"attention_mask": torch.ones(2, 7)}, r"\(2, 7\)，应为 \(B, 6\) 或 \(B, 6\)"),
        ({"attention_mask": torch.ones(6)}, r"attention_mask 的形状是 \(6,\)"),
        ({"attention_mask": torch.tensor(1)}, r"attention_mask 的形状是 \(\)"),
        (
            {"attention_mask": torch.ones(2, 1, 6, 6)},
            r"四维的 .*\(2, 1, 6, 6\)",
        ),
        ({"attention_mask": torch.ones(3, 6)}, "attention_mask 有 3 行，输入有 2 行"),
        ({"position_ids": torch.arange(6)}, r"position_ids 的形状是 \(6,\)，应为 \(2, 6\)"),
        ({"position_ids": torch.arange(5)[None]}, r"position_ids 的形状是 \(1, 5\)"),
        ({"position_ids": torch.arange(18).view(3, 6)}, r"position_ids 的形状是 \(3, 6\)"),
        ({"position_ids": torch.arange(59, 65)[None]}, "从 59 到 64，旋转表只有第 0 到 63 行"),
        ({"position_ids": torch.arange(-1, 5)[None]}, "position_ids 从 -1 到 4"),
        ({"past_key_values": _pairs(2, 2, 3, 16, layers=3)}, "past_key_values 有 3 层"),
        ({"past_key_values": ()}, "past_key_values 有 0 层"),
        ({"past_key_values": _pairs(1, 2, 3, 16)}, r"\(1, 2, 3, 16\).*\(2, 2, 3, 16\)"),
        ({"past_key_values": _pairs(2, 4, 3, 16)}, r"\(2, 4, 3, 16\)"),
        ({"past_key_values": _pairs(2, 2, 3, 8)}, r"\(2, 2, 3, 8\)"),
        ({"past_key_values": _pairs(2, 3, 16)}, r"\(2, 3, 16\)"),
        ({"past_key_values": _pairs(16)}, r"\(16,\)"),
        ({"past_key_values": _pairs(2, 2, 60, 16)}, "序列长 66（过去 60 \\+ 这次 6）.* 64 行"),
        ({"past_key_values": (1, 2)}, "应为 DynamicCache，或由每层一对张量"),
        ({"past_key_values": torch.zeros(2, 2)}, "past_key_values 是 Tensor"),
        ({"past_key_values": ((torch.zeros(2, 2, 3, 16),),) * 2}, "每层一对张量"),
        ({"labels": IDS[:, :4]}, r"labels 的形状是 \(2, 4\)，应为 \(2, 6\)"),
        ({"labels": IDS, "logits_to_keep": 1}, "不要用 logits_to_keep"),
        ({"input_ids": torch.zeros(1, 65, dtype=torch.long)}, "序列长 65.*超出旋转表的 64 行"),
    ],
)
def test_bad_input(tiny, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        tiny()(**{"input_ids": IDS, **arguments})


def test_a_mask_longer_than_seen_with_a_past(tiny) -> None:
    """S = 6 + 1：掩码可以长 1 或 7，别的都不行。"""
    model = tiny()
    past = model(IDS, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"\(2, 6\)，应为 \(B, 1\) 或 \(B, 7\)：这次输入 T = 1"):
        model(IDS[:, :1], torch.ones(2, 6), past_key_values=past)
    assert past.get_seq_length() == 6  # 检查在动缓存之前


def test_the_mask_function_checks_too() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\)，应为 \(B, 3\) 或 \(B, 5\)"):
        causal_mask(3, 2, torch.ones(2, 4))


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_fixed_length_caches_are_refused(tiny, used) -> None:
    """定长的缓存返回填满的键，掩码会悄悄对错位：拒绝，而不是算错。"""
    model = tiny()
    cache = StaticCache(model.config, max_cache_len=16)
    if used:
        cache.update(torch.zeros(2, 2, 3, 16), torch.zeros(2, 2, 3, 16), 0)
    with pytest.raises(ValueError, match="不支持 StaticCache"):
        model(IDS, past_key_values=cache)
    with pytest.raises(ValueError, match="不支持 EncoderDecoderCache"):
        model(IDS, past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()))


def test_sliding_window_caches_are_refused(tiny) -> None:
    """同是 DynamicCache，按滑动窗口丢掉旧键的那种也不收。"""
    cache = DynamicCache()
    cache.layers = [DynamicSlidingWindowLayer(sliding_window=4) for _ in range(2)]
    with pytest.raises(ValueError, match="只支持随序列增长的 DynamicCache"):
        tiny()(IDS, past_key_values=cache)


def test_another_models_cache(tiny) -> None:
    past = tiny(num_key_value_heads=4)(IDS, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"\(2, 4, 6, 16\).*\(2, 2, 6, 16\)"):
        tiny()(IDS, past_key_values=past)


def test_checkpointing_and_cache_exclude_each_other(tiny) -> None:
    model = tiny().train()
    model.activation_checkpointing_enable()
    with pytest.raises(ValueError, match="梯度检查点不能与缓存同用（use_cache=True"):
        model(IDS, use_cache=True)
    with pytest.raises(ValueError, match="past_key_values 是 tuple"):
        model(IDS, past_key_values=_pairs(2, 2, 3, 16))
    with pytest.raises(ValueError, match="梯度检查点"):
        greedy_generate(model, IDS, 2)
    assert model(IDS).past_key_values is None  # 不明说就自动不用缓存
    assert greedy_generate(model.eval(), IDS, 2).shape == (2, 8)


@torch.no_grad()
def _compiled_inputs(model) -> dict[str, dict]:
    past = model(IDS, use_cache=True).past_key_values
    pairs = tuple((layer.keys.clone(), layer.values.clone()) for layer in past.layers)
    one = IDS[:, :1]
    return {
        "whole": {"input_ids": IDS, "use_cache": False},
        "padded": {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "use_cache": False},
        "positions": {"input_ids": IDS, "position_ids": torch.arange(6)[None]},
        "labels": {"input_ids": IDS, "labels": IDS, "use_cache": False},
        "cache": {"input_ids": one, "past_key_values": past, "use_cache": True},
        "tuple": {"input_ids": one, "past_key_values": pairs, "use_cache": True},
    }


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
@pytest.mark.parametrize("case", ["whole", "padded", "positions", "labels", "cache", "tuple"])
def test_the_graph_stays_whole(tiny, backend, case) -> None:
    """`fullgraph=True`：有一处断图就报错；编译出的与不编译的相同。"""
    model = tiny(attention_backend=backend, num_hidden_layers=1)
    expected = model(**_compiled_inputs(model)[case]).logits
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    actual = compiled(**_compiled_inputs(model)[case]).logits
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
