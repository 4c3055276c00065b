"""与 transformers 的五个家族相等：logits、损失、梯度、贪心与束搜索的词元。"""

import pytest
import torch

from llm.config import PRESETS
from llm.model import greedy_generate

FAMILIES = tuple(PRESETS)
BACKENDS = ("sdpa", "manual")
SEEDS = range(4)


def _ids(model, batch: int = 2, length: int = 11) -> torch.Tensor:
    return torch.randint(model.config.vocab_size, (batch, length))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits(pair, random_shape, family, backend, seed) -> None:
    """随机尺寸、每个参数都扰动过：两种后端都在 1e-5 之内。"""
    theirs, ours = pair(family, backend, **random_shape(seed))
    ids = _ids(ours)
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_sdpa_is_bit_equal(pair, family) -> None:
    """同样的算子、同样的次序：一位也不差。"""
    theirs, ours = pair(family)
    ids = _ids(ours)
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_is_bit_equal(pair, family) -> None:
    """bf16 也一位不差；`.to` 会把他们的频率也转窄，这里补回 fp32 的（读检查点时本来如此）。"""
    theirs, ours = pair(family)
    frequency = theirs.model.rotary_emb.inv_freq.clone()
    theirs.to(torch.bfloat16).model.rotary_emb.inv_freq = frequency
    ours.to(torch.bfloat16)
    ids = _ids(ours)
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_padded_logits(pair, family, backend) -> None:
    """一行左填充、一行右填充；真词元处的 logits 相等。"""
    theirs, ours = pair(family, backend)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0]])
    ids = _ids(ours, length=8)
    real = mask.bool()
    expected = theirs(ids, attention_mask=mask).logits[real]
    torch.testing.assert_close(ours(ids, mask).logits[real], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_attention_bias_also_on_the_output(pair, family) -> None:
    """这两家的 attention_bias 连 o 投影一起管。"""
    theirs, ours = pair(family, attention_bias=True)
    assert ours.model.layers[0].self_attn.o_proj.bias is not None
    ids = _ids(ours)
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients(pair, family, backend) -> None:
    """带 -100 的标签：损失相等，每个参数的梯度也相等。"""
    theirs, ours = pair(family, backend)
    ids = _ids(ours)
    labels = ids.masked_fill(torch.rand(ids.shape) < 0.3, -100)
    losses = [model(input_ids=ids, labels=labels).loss for model in (theirs, ours)]
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=1e-5)
    for loss in losses:
        loss.backward()
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    actual = {name: p.grad for name, p in ours.named_parameters()}
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens(pair, family, backend) -> None:
    """transformers 的 generate、我们的 generate 与手写的循环，选出同样的词元。"""
    theirs, ours = pair(family, backend)
    ids = _ids(ours, length=5)
    kwargs = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    expected = theirs.generate(ids, **kwargs)
    assert torch.equal(ours.generate(ids, **kwargs), expected)
    assert torch.equal(greedy_generate(ours, ids, 12), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_beam_tokens(pair, family) -> None:
    """束搜索要把缓存按行重排：结果与 transformers 的相同。"""
    theirs, ours = pair(family)
    ids = _ids(ours, length=5)
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    kwargs = {"attention_mask": mask, "max_new_tokens": 8, "num_beams": 3, "pad_token_id": 0}
    assert torch.equal(ours.generate(ids, **kwargs), theirs.generate(ids, **kwargs))


@pytest.mark.parametrize("family", FAMILIES)
def test_explicit_positions(pair, family) -> None:
    """给出的 position_ids 作数：跳着数也与 transformers 相等，而与不给时不同。"""
    theirs, ours = pair(family)
    ids, positions = _ids(ours, length=6), torch.tensor([[0, 1, 3, 7, 8, 40]])
    mask = torch.ones_like(ids)
    expected = theirs(ids, attention_mask=mask, position_ids=positions).logits
    actual = ours(ids, mask, positions).logits
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert (actual - ours(ids, mask).logits).abs().max() > 1e-3
