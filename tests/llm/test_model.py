"""每个零件对照一个独立的答案：torch 自带的、闭式的、或一格一格数出来的。"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from llm import LLMConfig, model
from llm.model import (
    Attention,
    FeedForward,
    RMSNorm,
    RotaryEmbedding,
    TransformerBlock,
    apply_rotary,
    attention_weights,
    causal_mask,
    repeat_kv,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def _config(**overrides) -> LLMConfig:
    shape = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 24}
    return LLMConfig(**{**shape, "max_position_embeddings": 64, **overrides})


def test_one_file_in_reading_order() -> None:
    """一个文件、每行至多一百列；零件按阅读的次序出现。"""
    text = Path(model.__file__).read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 100
    order = (
        "class RMSNorm|class RotaryEmbedding|def apply_rotary|def causal_mask|def repeat_kv"
        "|class Attention|class FeedForward|class TransformerBlock|class LLMModel"
        "|class LLMForCausalLM|def greedy_generate"
    ).split("|")
    places = [text.index(name + "(") for name in order]
    assert places == sorted(places)


def test_every_signature_is_annotated() -> None:
    """每个参数与返回值都有类型。"""
    owners = [model, *(c for _, c in inspect.getmembers(model, inspect.isclass))]
    functions = {
        f
        for owner in owners
        for _, f in inspect.getmembers(owner, inspect.isfunction)
        if f.__module__ == model.__name__
    }
    assert len(functions) > 20
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, function
        for name, parameter in signature.parameters.items():
            bare = parameter.annotation is inspect.Parameter.empty
            assert name in ("self", "cls") or not bare, (function, name)


def test_rms_norm_against_torch() -> None:
    norm = RMSNorm(10, 1e-3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(3, 4, 10)
    torch.testing.assert_close(norm(x), F.rms_norm(x, (10,), norm.weight, 1e-3))


def test_rms_norm_is_computed_in_fp32() -> None:
    """fp16 里 300² 已经溢出；在 fp32 里算就没事。"""
    x = torch.full((1, 8), 300.0, dtype=torch.float16)
    torch.testing.assert_close(RMSNorm(8, 1e-6).half()(x), torch.ones_like(x))


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_is_a_complex_product(interleaved) -> None:
    """一对分量看作复数，位置 m 就是乘 e^{imθ}：逆时针。"""
    rope = RotaryEmbedding(_config(rope_theta=100.0))
    positions = torch.tensor([[0, 3, 7, 50]])
    x = torch.randn(1, 2, 4, 8)
    cos, sin = rope(positions, torch.float32)
    turned = apply_rotary(x, cos, sin, interleaved)
    theta = 100.0 ** -(torch.arange(0, 8, 2) / 8)
    turn = torch.polar(torch.ones(4, 4), positions[0][:, None] * theta)

    def pairs(y: torch.Tensor) -> torch.Tensor:
        halves = (y[..., 0::2], y[..., 1::2]) if interleaved else (y[..., :4], y[..., 4:])
        return torch.complex(*halves)

    torch.testing.assert_close(pairs(turned), pairs(x) * turn)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_keeps_norms_and_depends_on_the_distance_only(interleaved) -> None:
    rope = RotaryEmbedding(_config())
    q, k = torch.randn(2, 1, 1, 1, 8).expand(2, 1, 1, 20, 8)
    cos, sin = rope(torch.arange(20)[None], torch.float32)
    q, k = (apply_rotary(x, cos, sin, interleaved) for x in (q, k))
    torch.testing.assert_close(q.norm(dim=-1), q.norm(dim=-1)[..., :1].expand(1, 1, 20))
    scores = (q @ k.transpose(-2, -1))[0, 0]  # (20, 20)，同一条对角线上 m − n 相同
    for distance in range(-19, 20):
        line = scores.diagonal(distance)
        torch.testing.assert_close(line, line[:1].expand_as(line), rtol=0, atol=1e-5)
    assert scores[0].std() > 1e-2


def test_half_split_equals_interleaved_after_permuting_rows() -> None:
    """两种配对只差 q、k 投影的行序：把 (i, i + R/2) 两行挪到 (2i, 2i + 1)，注意力就不变。"""
    torch.manual_seed(1)
    half = Attention(_config())
    pairwise = Attention(_config(rope_interleaved=True))
    pairwise.load_state_dict(half.state_dict())
    order = torch.arange(32).view(4, 2, 4).transpose(1, 2).flatten()
    for name in ("q_proj", "k_proj"):
        weight = getattr(half, name).weight
        getattr(pairwise, name).weight.data.copy_(weight[order])
    x = torch.randn(2, 6, 32)
    table = RotaryEmbedding(_config())(torch.arange(6)[None], torch.float32)
    torch.testing.assert_close(pairwise(x, *table)[0], half(x, *table)[0])


def test_partial_rotary_passes_the_rest_through() -> None:
    rope = RotaryEmbedding(_config(partial_rotary_factor=0.5))
    x = torch.randn(1, 1, 5, 8)
    turned = apply_rotary(x, *rope(torch.arange(5)[None], torch.float32))
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert not torch.isclose(turned[..., 1:, :4], x[..., 1:, :4]).any(dim=-1).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rotary_table_stays_fp32(dtype) -> None:
    rope = RotaryEmbedding(_config(max_position_embeddings=2000))
    before = rope.cos.clone()
    assert rope.to(dtype).cos.dtype == torch.float32 and torch.equal(rope.cos, before)
    assert rope(torch.zeros(1, 1, dtype=torch.long), dtype)[0].dtype == dtype
    assert torch.equal(rope.to(torch.float32).cos, before)  # 去一趟窄的再回来，一位不差


def test_what_the_apply_override_is_for(monkeypatch) -> None:
    """没有 `RotaryEmbedding._apply`：去一趟 bf16 再回来就差了，to_empty 之后是脏内存。"""
    rope = RotaryEmbedding(_config(max_position_embeddings=2000))
    before = rope.cos.clone()
    monkeypatch.delattr(RotaryEmbedding, "_apply")
    assert (rope.to(torch.bfloat16).float().cos - before).abs().max() > 1e-3
    with torch.device("meta"):
        empty = RotaryEmbedding(_config())
    torch.use_deterministic_algorithms(True)  # 没有初始化的内存一律填 NaN
    try:
        assert empty.to_empty(device="cpu").cos.isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_rotary_table_survives_to_empty() -> None:
    """先在 meta 设备上建模型、再 to_empty：得到的是脏内存，表要重填。"""
    with torch.device("meta"):
        rope = RotaryEmbedding(_config())
    rope.to_empty(device="cpu")
    assert torch.equal(rope.cos, RotaryEmbedding(_config()).cos)


@pytest.mark.parametrize("past", [0, 1, 4])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_mask_against_counting(T, past) -> None:
    """一格一格地数：不看将来，不看填充。"""
    padding = torch.randint(2, (3, past + T))
    mask = causal_mask(T, past, padding)
    assert mask.dtype == torch.bool and mask.shape == (3, 1, T, past + T)
    for row in range(3):
        for t in range(T):
            for s in range(past + T):
                expected = s <= past + t and bool(padding[row, s])
                assert mask[row, 0, t, s].item() is expected
    no_padding = causal_mask(T, past)
    assert no_padding.shape == (1, 1, T, past + T)
    assert torch.equal(no_padding, causal_mask(T, past, torch.ones(1, past + T)))


def test_mask_of_new_tokens_only() -> None:
    """只给新来的 T 个词元的掩码：过去的都算真词元。"""
    new = torch.tensor([[1, 0, 1]])
    whole = torch.tensor([[1, 1, 1, 0, 1]])
    assert torch.equal(causal_mask(3, 2, new), causal_mask(3, 2, whole))


def test_repeat_kv_gives_each_query_head_its_own_group() -> None:
    x = torch.randn(2, 3, 5, 4)
    repeated = repeat_kv(x, 2)
    for head in range(6):
        assert torch.equal(repeated[:, head], x[:, head // 2])
    assert torch.equal(repeat_kv(x, 1), x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_attention_weights(dtype) -> None:
    """每行和为 1，看不见的键恰好是 0；整行都看不见就全 0，不是 NaN。"""
    q, k = torch.randn(2, 1, 2, 4, 8).to(dtype)
    mask = causal_mask(4, 0, torch.tensor([[0, 1, 1, 0]]))
    weights = attention_weights(q, k, mask)
    assert weights.dtype == dtype and not weights.isnan().any()
    assert (weights[~mask.expand_as(weights)] == 0).all()
    tolerance: dict[str, Any] = {"rtol": 0, "atol": 1e-6 if dtype == torch.float32 else 1e-2}
    expected = torch.tensor([0.0, 1, 1, 1]).expand(1, 2, 4)  # 第 0 行只有一个填充可看
    torch.testing.assert_close(weights.float().sum(-1), expected, **tolerance)
    naive = (q.float() @ k.float().mT / 8**0.5).masked_fill(~mask, -torch.inf).softmax(-1)
    torch.testing.assert_close(weights[..., 1:, :].float(), naive[..., 1:, :], **tolerance)


def _no_rotation(T: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(1, 1, T, 4), torch.zeros(1, 1, T, 4)


@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_attention_with_as_many_kv_heads_is_mha(backend) -> None:
    """K = H、不旋转时，就是 torch.nn.MultiheadAttention。"""
    attention = Attention(_config(attention_backend=backend))
    names = ("q_proj", "k_proj", "v_proj")
    oracle = torch.nn.MultiheadAttention(32, 4, bias=False, batch_first=True)
    stacked = torch.cat([getattr(attention, name).weight for name in names])
    oracle.in_proj_weight.data.copy_(stacked)
    oracle.out_proj.weight.data.copy_(attention.o_proj.weight)
    x = torch.randn(2, 7, 32)
    blocked = torch.ones(7, 7, dtype=torch.bool).triu(1)  # 那边 True = 不许看
    expected = oracle(x, x, x, attn_mask=blocked, need_weights=False)[0]
    torch.testing.assert_close(attention(x, *_no_rotation(7))[0], expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("backend", ["sdpa", "manual"])
def test_gqa_is_mha_with_repeated_kv_heads(backend, groups) -> None:
    """把键、值投影的行按头连着重复，GQA（与 K = 1 的 MQA）就成了 MHA。"""
    gqa = Attention(_config(attention_backend=backend, num_key_value_heads=groups))
    mha = Attention(_config(attention_backend=backend))
    state = gqa.state_dict()
    for name in ("k_proj.weight", "v_proj.weight"):
        heads = state[name].view(groups, 8, 32)
        state[name] = heads.repeat_interleave(4 // groups, dim=0).flatten(0, 1)
    mha.load_state_dict(state)
    x = torch.randn(2, 5, 32)
    table = RotaryEmbedding(_config())(torch.arange(5)[None], torch.float32)
    torch.testing.assert_close(gqa(x, *table)[0], mha(x, *table)[0])


def test_feed_forward_against_the_formula() -> None:
    mlp, x = FeedForward(_config()), torch.randn(2, 3, 32)
    gate, up, down = (getattr(mlp, f"{n}_proj").weight for n in ("gate", "up", "down"))
    hidden = (x @ gate.T) * torch.sigmoid(x @ gate.T) * (x @ up.T)
    torch.testing.assert_close(mlp(x), hidden @ down.T)


def test_fusing_gate_and_up_is_layout_only() -> None:
    plain, fused = FeedForward(_config()), FeedForward(_config(fused_mlp=True))
    both = torch.cat([plain.gate_proj.weight, plain.up_proj.weight])
    fused.gate_up_proj.weight.data.copy_(both)
    fused.down_proj.load_state_dict(plain.down_proj.state_dict())
    x = torch.randn(2, 3, 32)
    torch.testing.assert_close(fused(x), plain(x))


@pytest.mark.parametrize("sandwich", [False, True])
def test_block_is_two_residual_branches(sandwich) -> None:
    """两个独立的前置归一化；sandwich_norm 再在加回残差之前各归一化一次。"""
    block = TransformerBlock(_config(sandwich_norm=sandwich))
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, table = torch.randn(2, 5, 32), _no_rotation(5)
    y = block.self_attn(block.input_layernorm(x), *table)[0]
    x1 = x + (block.post_self_attn_layernorm(y) if sandwich else y)
    y = block.mlp(block.post_attention_layernorm(x1))
    expected = x1 + (block.post_mlp_layernorm(y) if sandwich else y)
    torch.testing.assert_close(block(x, *table)[0], expected)
    norms = sum(isinstance(module, RMSNorm) for module in block.modules())
    assert norms == (4 if sandwich else 2)
