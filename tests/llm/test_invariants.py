"""不论权重是什么都该成立的事：不看将来、怎么切都一样、填充不改变答案……"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from llm import LLMConfig, LLMForCausalLM
from llm.config import PRESETS

FAMILIES = tuple(PRESETS)
BACKENDS = ("sdpa", "manual")
DTYPES = {torch.float32: 1e-5, torch.bfloat16: 5e-2, torch.float16: 5e-3}  # 容许的误差
VOCABULARY = 61

both = pytest.mark.parametrize("backend", BACKENDS)
every = pytest.mark.parametrize("family", FAMILIES)


def _ids(batch: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, length))


@every
@both
def test_the_future_does_not_leak(tiny, family, backend) -> None:
    """改第 t 个词元：t 之前的 logits 一位不变，从 t 起都变。"""
    model, ids = tiny(family, attention_backend=backend), _ids()
    before = model(ids).logits
    for t in range(ids.shape[1]):
        changed = ids.clone()
        changed[:, t] = (changed[:, t] + 1) % VOCABULARY
        after = model(changed).logits
        assert torch.equal(after[:, :t], before[:, :t])
        assert ((after[:, t:] - before[:, t:]).abs().amax(dim=-1) > 1e-6).all()


@both
def test_no_gradient_reaches_the_future(tiny, backend) -> None:
    """第 3 个位置的输出对第 4 个及以后的词嵌入，梯度恰好是 0。"""
    model = tiny(attention_backend=backend)
    seen = []

    def keep(module, args, output):
        output.retain_grad()
        seen.append(output)

    model.model.embed_tokens.register_forward_hook(keep)
    model(_ids()).logits[:, 3].pow(2).sum().backward()
    gradient = seen[0].grad
    assert (gradient[:, 4:] == 0).all() and (gradient[:, :4] != 0).any(dim=-1).all()


@every
@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded"])
def test_backends_agree(tiny, family, padded) -> None:
    """两种后端：同样的输出，同样的梯度；整行都是填充时也一样，且没有 NaN。"""
    sdpa = tiny(family)
    manual = LLMForCausalLM(LLMConfig(**{**sdpa.config.to_dict(), "attention_backend": "manual"}))
    manual.load_state_dict(sdpa.state_dict())
    ids = _ids(3, 7)
    mask = torch.tensor([[0] * 7, [0, 0, 1, 1, 1, 1, 1], [1] * 5 + [0] * 2]) if padded else None
    outputs, gradients = [], []
    for model in (sdpa, manual.eval()):
        outputs.append(model(ids, mask).logits)
        outputs[-1].square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert outputs[0].isfinite().all()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def models() -> dict[tuple[str, str], LLMForCausalLM]:
    """每个家族、每种后端各一个；性质测试反复用，只建一次。"""
    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 32,
    }
    built = {}
    for family in FAMILIES:
        for backend in BACKENDS:
            config = LLMConfig.preset(family, **shape, attention_backend=backend)
            built[family, backend] = model = LLMForCausalLM(config).eval()
            for parameter in model.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
    return built


def _empty(config: LLMConfig, batch: int) -> tuple:
    """还没有词元的元组缓存。"""
    nothing = torch.zeros(batch, config.num_key_value_heads, 0, config.head_dim)
    return ((nothing, nothing),) * config.num_hidden_layers


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    family=st.sampled_from(FAMILIES),
    backend=st.sampled_from(BACKENDS),
    kind=st.sampled_from(["cache", "tuple"]),
    chunks=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    pads=st.one_of(st.none(), st.integers(0, 4)),
    short_mask=st.booleans(),
    keep=st.sampled_from([0, 0, 1, 2, 9]),
)
def test_any_split_equals_the_full_forward(
    models, family, backend, kind, chunks, pads, short_mask, keep
) -> None:
    """预填充与解码随便怎么切，都与一次前向相同：两种缓存、有无左填充、掩码盖 S 或只盖 T。

    每段只留末尾几个位置也一样：留下的答案不变，后面各段看到的键与值也不变。
    """
    model = models[family, backend]
    length = sum(chunks)
    ids = torch.arange(2 * length).view(2, length) * 7 % VOCABULARY
    mask = None
    if pads is not None:
        mask = torch.ones(2, length, dtype=torch.long)
        mask[0, : min(pads, chunks[0])] = 0
    with torch.no_grad():
        whole = model(ids, mask).logits
        past = DynamicCache() if kind == "cache" else _empty(model.config, 2)
        parts: list[torch.Tensor] = []
        kept: list[int] = []
        end = 0
        for size in chunks:
            start, end = end, end + size
            # 过去没有填充时，才可以只给新词元的掩码
            first = start if short_mask and pads == 0 else 0
            part = None if mask is None else mask[:, first:end]
            out = model(
                ids[:, start:end], part, past_key_values=past, use_cache=True, logits_to_keep=keep
            )
            parts.append(out.logits)
            kept += range(start, end)[-keep:]
            past = out.past_key_values
            assert type(past) is (DynamicCache if kind == "cache" else tuple)
    real = slice(None) if mask is None else mask[:, kept].bool()
    torch.testing.assert_close(torch.cat(parts, 1)[real], whole[:, kept][real], rtol=0, atol=1e-5)


@every
@both
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_left_padding_equals_alone(tiny, family, backend, dtype) -> None:
    """左填充的一行与单独的一行相同：三种精度，填充里是什么都无所谓，没有 NaN。"""
    model = tiny(family, attention_backend=backend).to(dtype)
    ids = _ids(1, 6)
    alone = model(ids).logits
    padded = torch.cat([_ids(1, 4), ids], dim=1)
    mask = torch.tensor([[0] * 4 + [1] * 6])
    logits = model(padded, mask).logits
    assert logits.isfinite().all()  # 填充处也没有 NaN
    torch.testing.assert_close(logits[:, 4:], alone, rtol=0, atol=DTYPES[dtype])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)  # generate 的算法：位置从第一个真词元数起
    logits = model(padded, mask, positions).logits[:, 4:]
    torch.testing.assert_close(logits, alone, rtol=0, atol=DTYPES[dtype] / 5)


@every
@both
def test_a_batch_equals_its_rows(tiny, family, backend) -> None:
    model, ids = tiny(family, attention_backend=backend), _ids(4, 6)
    rows = torch.cat([model(row[None]).logits for row in ids])
    torch.testing.assert_close(model(ids).logits, rows, rtol=0, atol=1e-5)


@both
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_fully_masked_row_is_finite(tiny, backend, dtype) -> None:
    """整行都是填充：前向与反向都没有 NaN，也不影响别的行。"""
    model = tiny(attention_backend=backend).to(dtype)
    ids = _ids(2, 5)
    mask = torch.tensor([[0] * 5, [1] * 5])
    logits = model(ids, mask).logits
    logits.float().square().mean().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(logits[1:], model(ids[1:]).logits, rtol=0, atol=DTYPES[dtype])


@every
def test_kv_cache_keeps_only_kv_heads(tiny, family) -> None:
    """缓存里每层是 (B, K, S, D)，不是重复之后的 H 个头；给什么种类的缓存，还什么种类。"""
    model = tiny(family)
    cache = model(_ids(2, 5), use_cache=True).past_key_values
    assert type(cache) is DynamicCache
    pairs = tuple((layer.keys, layer.values) for layer in cache.layers)
    assert {tuple(t.shape) for pair in pairs for t in pair} == {(2, 2, 5, 16)}
    out = model(_ids(2, 1), past_key_values=pairs, use_cache=True).past_key_values
    assert type(out) is tuple and len(out) == 2 and out[0][0].shape == (2, 2, 6, 16)
    assert pairs[0][0].shape == (2, 2, 5, 16)  # 元组的旧缓存没有被改动
    assert model(_ids(), use_cache=False).past_key_values is None


def test_positions_start_from_the_past(tiny) -> None:
    """不给 position_ids 就从过去的长度数起：与明写出来的相同，与从 0 数起的不同。"""
    model, ids = tiny(), _ids(1, 8)
    with torch.no_grad():
        logits = []
        for positions in (None, torch.tensor([[5, 6, 7]]), torch.tensor([[0, 1, 2]])):
            past = model(ids[:, :5], use_cache=True).past_key_values
            out = model(ids[:, 5:], position_ids=positions, past_key_values=past)
            logits.append(out.logits)
    assert torch.equal(logits[0], logits[1])
    assert (logits[0] - logits[2]).abs().max() > 1e-3


def test_logits_to_keep(tiny) -> None:
    model, ids = tiny(), _ids()
    logits = model(ids).logits
    last = model(ids, logits_to_keep=2).logits
    torch.testing.assert_close(last, logits[:, -2:], rtol=0, atol=1e-6)
    chosen = model(ids, logits_to_keep=torch.tensor([0, 4])).logits
    torch.testing.assert_close(chosen, logits[:, [0, 4]], rtol=0, atol=1e-6)


@every
def test_overfits_one_batch(family) -> None:
    """背得下一小批：从 ln V 附近降到几乎 0。"""
    config = LLMConfig.preset(
        family,
        vocab_size=16,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    model = LLMForCausalLM(config)
    ids = torch.randint(16, (4, 12))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(80):
        losses.append(model(ids, labels=ids).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert abs(losses[0].item() - 2.77) < 0.5 and losses[-1].item() < 0.1
