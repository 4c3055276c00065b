# %% [markdown]
# # 注意力掩码：谁看得见谁
# 来源：Vaswani et al. 2017, §3.2.3；transformers 5.23 的 `masking_utils.py`；
# PyTorch 文档 `torch.nn.functional.scaled_dot_product_attention`

# %% 因果
from llm.model import causal_mask

mask = causal_mask(4)  # (1, 1, T, S)，True = 看得见
print(tuple(mask.shape), mask.dtype)
print(mask[0, 0].int())

# %% 过去
step = causal_mask(2, past=3)  # 缓存里已有 3 个键，这次送进 2 个词元
print(tuple(step.shape))
print(step[0, 0].int())

# %% 填充
import torch
from torch import Tensor

padding = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])  # (B, T)，1 = 真词元；第 0 行左边补了两个
both = causal_mask(4, padding=padding)  # (B, 1, T, S)
print(tuple(both.shape))
print(both[0, 0].int())

# %% 加在哪
from llm.model import attention_weights

torch.manual_seed(0)
q = torch.randn(2, 2, 4, 8)  # (B, H, T, D)
k = torch.randn(2, 2, 4, 8)  # (B, H, S, D)
weights = attention_weights(q, k, both)  # (B, H, T, S)
torch.set_printoptions(precision=2, sci_mode=False)
print(weights[0, 0])  # 左填充的一行：前两行全看不见，是 0 而不是 NaN
print(weights[1, 0])

# %% 打包
from llm.model import document_mask

restart = torch.tensor([[0, 1, 2, 0, 1]])  # (B, T)，一行两篇：位置从 0 重数，就是换了一篇
packed = document_mask(restart)  # (B, 1, T, T)
print(packed[0, 0].int())

# %% 加性掩码
scores = q @ k.mT / 8**0.5  # (B, H, T, S)
low = torch.finfo(torch.float32).min
seen = both.float()  # 1 = 看得见
ways = {
    "加上最小的有限数（transformers 的 eager）": scores + torch.where(both, 0.0, low),
    "w*b - 1e10*(1-b)（GPT-2）": scores * seen - 1e10 * (1 - seen),
    "加上 -inf": scores + torch.where(both, 0.0, float("-inf")),
}
for name, shifted in ways.items():
    soft = shifted.softmax(-1)
    some = both.any(-1).expand(2, 2, 4)  # 至少看得见一个键的那些行
    print(name)
    print("    有键可看的行与布尔掩码相同:", soft[some].allclose(weights[some]))
    print("    一个键也看不见的行:", soft[0, 0, 0].tolist())
print("布尔掩码，那一行:", weights[0, 0, 0].tolist())
print("全看不见的一行，三个分数 [s, 5, -3]，加上那个类型最小的有限数再 softmax：")
for kind in (torch.float32, torch.bfloat16, torch.float16):
    for s in (1.0, 20.0, -20.0):
        shifted = torch.tensor([s, 5.0, -3.0], dtype=kind) + torch.finfo(kind).min
        print(f"    {kind}，s = {s:3.0f}：", [round(w, 2) for w in shifted.float().softmax(-1).tolist()])

# %% 不挡住未来，学到的只是抄
from llm import LLMConfig, LLMForCausalLM


def loss_after(seed: int, peek: bool, steps: int = 30) -> tuple[float, float]:
    """学预测下一个词元，词元全是随机的，没有规律可学；返回最初与最后 10 步的平均损失。"""
    torch.manual_seed(seed)
    config = LLMConfig(
        vocab_size=16,
        hidden_size=128,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    model = LLMForCausalLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    all_seen = torch.ones(1, 1, 8, 8, dtype=torch.bool) if peek else None  # 四维的掩码原样使用
    losses = []
    for _ in range(steps):
        ids = torch.randint(16, (32, 8))  # 每步都是新的
        loss = model(ids, attention_mask=all_seen, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], sum(losses[-10:]) / 10


print(f"ln V = {torch.tensor(16.0).log():.2f}")
peeked = [loss_after(seed, True) for seed in range(3)]
causal = [loss_after(seed, False) for seed in range(2)]
print("最初都在 2.7 与 2.9 之间:", all(2.7 < first < 2.9 for first, _ in peeked + causal))
print("都看得见，最后都低于 0.5:", all(last < 0.5 for _, last in peeked))
print("因果，最后都高于 2.7:    ", all(last > 2.7 for _, last in causal))

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.3))
panels = {"因果 T = 4": mask, "过去 3，新来 2": step, "左填充 2 个": both[:1], "打包两篇": packed}
for ax, (title, shown) in zip(axes, panels.items(), strict=True):
    ax.imshow(shown[0, 0], cmap="Blues", vmin=0, vmax=1.6, aspect="equal")
    ax.set(title=title, xlabel="键 S", ylabel="查询 T")
    ax.set_xticks(range(shown.shape[-1]))
    ax.set_yticks(range(shown.shape[-2]))
figure.tight_layout()
figure.set_label(
    "四张掩码，蓝格看得见：因果 T = 4 是下三角；过去 3、新来 2 是两行五列，只有右上角看不见；"
    "左填充 2 个的前两列与前两行全空；打包的两篇各是一个下三角，互相看不见"
)

# %% 检验 逐格核对
for past, T in ((0, 1), (0, 5), (3, 2), (7, 1)):
    got = causal_mask(T, past)[0, 0]
    brute = [[key <= past + query for key in range(past + T)] for query in range(T)]
    assert got.tolist() == brute
    assert got.equal(torch.ones(T, past + T, dtype=torch.bool).tril(past))

# %% 检验 填充逐格核对
for past, T in ((0, 4), (3, 2), (3, 1)):
    S = past + T
    for length in {T, S}:  # 盖住新来的 T 个，或全部 S 个
        real = torch.rand(3, length, generator=torch.Generator().manual_seed(length)) > 0.4
        got = causal_mask(T, past, real.long())
        assert got.shape == (3, 1, T, S)
        for b in range(3):
            for t in range(T):
                for key in range(S):
                    told = key - (S - length)  # 填充掩码里是第几列；负的没有说，算真词元
                    visible = key <= past + t and (told < 0 or bool(real[b, told]))
                    assert got[b, 0, t, key] == visible

# %% 检验 与 transformers 相同
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.masking_utils import create_causal_mask

sizes = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 64, "num_hidden_layers": 2}
sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2}
eager = LlamaConfig(**sizes, attn_implementation="eager")
for past, T in ((0, 4), (3, 2)):
    cache = DynamicCache()
    if past:
        cache.update(torch.zeros(2, 2, past, 8), torch.zeros(2, 2, past, 8), 0)
    real = torch.tensor([[0] + [1] * (past + T - 1), [1] * (past + T)])  # (B, S)
    theirs = create_causal_mask(
        config=eager,
        inputs_embeds=torch.zeros(2, T, 32),
        attention_mask=real,
        past_key_values=cache,
    )
    assert theirs.eq(0).equal(causal_mask(T, past, real))  # 那边 0 = 看得见
    assert theirs[theirs != 0].eq(low).all()  # 其余是最小的有限数

# %% 检验 挡住未来
x, y = torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8)
changed = y.clone()
changed[:, :, 3] += 100.0  # 只改最后一个键
before, after = attention_weights(x, y, mask), attention_weights(x, changed, mask)
torch.testing.assert_close(before[:, :, :3], after[:, :, :3], rtol=0, atol=0)
assert not before[:, :, 3].allclose(after[:, :, 3])

# %% 检验 先 softmax 再乘 0，未来还是漏了
late = (x @ y.mT / 8**0.5).softmax(-1) * mask
moved = (x @ changed.mT / 8**0.5).softmax(-1) * mask
assert (late[:, :, :3].sum(-1) < 1).all()  # 加起来不是 1
assert not late[:, :, :3].allclose(moved[:, :, :3])  # 第 3 个键变了，前三个查询的权重也跟着变

# %% 检验 与 SDPA 相同
v = torch.randn(2, 2, 4, 8)
sdpa = torch.nn.functional.scaled_dot_product_attention
expected = sdpa(q, k, v, both)
torch.testing.assert_close(weights @ v, expected, rtol=1e-5, atol=1e-6)
torch.testing.assert_close(sdpa(q, k, v, mask), sdpa(q, k, v, is_causal=True))  # T = S 时才行
assert (expected[0, :, :2] == 0).all()  # 一个键也看不见的行：SDPA 的布尔掩码给 0
infinite = sdpa(q, k, v, torch.where(both, 0.0, float("-inf")))
torch.testing.assert_close(infinite, expected)  # 浮点的 -inf 交给 SDPA，也是 0，不是 NaN
uniform = sdpa(q, k, v, torch.where(both, 0.0, low))[0, :, 0]
torch.testing.assert_close(uniform, v[0].mean(dim=1))  # 最小的有限数：SDPA 也给均匀分布

# %% 检验 nn.MultiheadAttention 的极性相反
layer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
sequence = torch.randn(1, 4, 8)
_, shown = layer(sequence, sequence, sequence, attn_mask=~mask[0, 0])  # True = 遮住
assert shown.triu(1).eq(0).all() and shown[0, 3].gt(0).all()

# %% 检验 少了中间的 1
try:
    attention_weights(torch.randn(2, 4, 4, 8), torch.randn(2, 4, 4, 8), both[:, 0])
except RuntimeError as error:
    print("B = 2，H = 4：", str(error).splitlines()[0])
else:
    raise AssertionError("(B, T, S) 广播不到 (B, H, T, S)，应当报错")
silent = attention_weights(q, k, both[:, 0])  # B = H = 2：不报错
assert silent.shape == weights.shape and not silent.allclose(weights)
second = attention_weights(q, k, both[1:])[:, 1]
torch.testing.assert_close(silent[:, 1], second)  # 头 1 用的是样本 1 的掩码，不论哪个样本
assert attention_weights(q[:, :1], k[:, :1], both[:, 0]).shape == (2, 2, 4, 4)  # H = 1：撑大了
alone = attention_weights(q[:1], k[:1], both[:1, 0])  # B = 1：碰巧是对的
torch.testing.assert_close(alone, weights[:1])

# %% 检验 左填充的一批与逐行相同
torch.manual_seed(0)
model = LLMForCausalLM(LLMConfig(**sizes)).eval().requires_grad_(False)
for parameter in model.parameters():
    parameter += 0.1 * torch.randn_like(parameter)
ids = torch.randint(64, (1, 9))
padded = torch.cat([torch.zeros(1, 2, dtype=torch.long), ids], dim=1)  # 左边补 2 个
real = torch.tensor([[0] * 2 + [1] * 9])  # (B, S)
first = model(padded[:, :8], attention_mask=real[:, :8], use_cache=True)
rest = model(padded[:, 8:], attention_mask=real, past_key_values=first.past_key_values)
joined = torch.cat([first.logits[:, 2:], rest.logits], dim=1)
torch.testing.assert_close(joined, model(ids).logits, rtol=1e-4, atol=1e-5)

# %% 检验 打包等于各算各的
for seed in range(5):
    torch.manual_seed(seed)
    one, two = torch.randint(64, (1, 4)), torch.randint(64, (1, 5))
    row = torch.cat([one, two], dim=1)
    restart = torch.tensor([[*range(4), *range(5)]])
    apart = torch.cat([model(one).logits, model(two).logits], dim=1)
    torch.testing.assert_close(model(row, position_ids=restart).logits, apart, rtol=1e-4, atol=1e-5)
    by_mask = model(row, attention_mask=document_mask(restart)).logits  # 位置不重数，只给掩码
    torch.testing.assert_close(by_mask, apart, rtol=1e-4, atol=1e-5)
    leaked = model(row).logits[:, 4:]  # 都不给，第二篇看见了第一篇
    assert not leaked.allclose(apart[:, 4:], atol=1e-2)
forward = torch.tensor([[*range(4), *range(9, 14)]])  # 位置只往前跳：也算换了一篇
torch.testing.assert_close(model(row, position_ids=forward).logits, apart, rtol=1e-4, atol=1e-5)
given = model(row, position_ids=forward, attention_mask=torch.ones_like(row)).logits
assert not given[:, 4:].allclose(apart[:, 4:], atol=1e-2)  # 又给了掩码，就照掩码，不分篇
brute = [[key <= t and (key < 4) == (t < 4) for key in range(9)] for t in range(9)]
assert document_mask(restart)[0, 0].tolist() == brute

# %% 检验 形状不对就报错
try:
    causal_mask(4, past=2, padding=torch.ones(1, 5))
except ValueError as error:
    print(error)
else:
    raise AssertionError("长度 5 既不是 T 也不是 S，应当报错")

# %% 坏 is_causal 对齐左上角
query = torch.randn(1, 1, 2, 8)  # 缓存里 3 个，新来 2 个：查询的位置是 3 和 4
keys = torch.randn(1, 1, 5, 8)
one_hot = torch.eye(5)[None, None]  # 值取单位阵，输出就是权重本身
wrong = sdpa(query, keys, one_hot, is_causal=True)
right = sdpa(query, keys, one_hot, causal_mask(2, past=3))
print("is_causal:", (wrong[0, 0] > 0).int().tolist())
print("带过去的掩码:", (right[0, 0] > 0).int().tolist())
assert not wrong.allclose(right)
last = sdpa(query[:, :, :1], keys, one_hot, is_causal=True)  # T = 1 也一样
print("T = 1 时:", (last[0, 0] > 0).int().tolist())

# %% 坏 NaN 怎样传开
blind = both[:1]  # 左填充 2 个：前两个查询一个键也看不见


def layer_with_inf(x: Tensor) -> Tensor:
    """一层注意力，q = k = v = x；看不见的分数填 -inf。"""
    return (x @ x.mT).masked_fill(~blind, float("-inf")).softmax(-1) @ x


def nan_rows(x: Tensor) -> list[bool]:
    """哪几个位置有 NaN。"""
    return x.isnan().any(-1)[0, 0].tolist()


start = torch.randn(1, 1, 4, 8)
once = layer_with_inf(start)
normed = torch.nn.functional.rms_norm(once, (8,))
again = (normed @ normed.mT).masked_fill(~blind, float("-inf")).softmax(-1)
print("第一层之后:    ", nan_rows(once))
print("归一化之后:    ", nan_rows(normed))
print("第二层的权重:  ", again[0, 0, 3].tolist())
print("第二层之后:    ", nan_rows(again @ normed))

# %% 坏 带过去时只给短的掩码
differences = []
for seed in range(12):
    torch.manual_seed(seed)
    theirs = LlamaForCausalLM(LlamaConfig(**sizes)).eval().requires_grad_(False)
    for parameter in theirs.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    ours = LLMForCausalLM(LLMConfig(**sizes)).eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict())
    ids = torch.randint(64, (1, 9))
    whole = theirs(ids).logits[:, 6:]
    row = []
    for each in (theirs, ours):
        for length in (9, 3):  # S，T
            past = each(ids[:, :6], use_cache=True).past_key_values
            real = torch.ones(1, length, dtype=torch.long)
            out = each(ids[:, 6:], attention_mask=real, past_key_values=past).logits
            row.append((out - whole).abs().max().item())
    differences.append(row)
table = torch.tensor(differences)  # (种子, 4)
for column, name in enumerate(
    ("transformers (B, S)", "transformers (B, T)", "llm (B, S)", "llm (B, T)")
):
    smallest, middle, largest = table[:, column].quantile(torch.tensor([0, 0.5, 1])).tolist()
    print(f"{name:20}logits 最多差：最小 {smallest:.1f}，中位 {middle:.1f}，最大 {largest:.1f}")
assert table[:, [0, 2, 3]].max() < 1e-4 < 0.3 < table[:, 1].min()

# %% 坏 打包时还开着缓存
gaps = {"use_cache=False": [], "use_cache=True（默认）": [], "又给了全 1 的掩码": []}
for seed in range(12):
    torch.manual_seed(seed)
    theirs = LlamaForCausalLM(LlamaConfig(**sizes)).eval().requires_grad_(False)
    for parameter in theirs.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    one, two = torch.randint(64, (1, 4)), torch.randint(64, (1, 5))
    row = torch.cat([one, two], dim=1)
    apart = torch.cat([theirs(one).logits, theirs(two).logits], dim=1)
    ones = torch.ones_like(row)
    options = ({"use_cache": False}, {}, {"use_cache": False, "attention_mask": ones})
    for values, option in zip(gaps.values(), options, strict=True):
        out = theirs(row, position_ids=torch.tensor([[*range(4), *range(5)]]), **option).logits
        values.append((out - apart).abs().max())
for name, values in gaps.items():
    low_gap, middle, high = torch.stack(values).quantile(torch.tensor([0, 0.5, 1])).tolist()
    print(f"{name}：最小 {low_gap:.1f}，中位 {middle:.1f}，最大 {high:.1f}")
for option in ({"use_cache": True}, {"attention_mask": ones}):
    try:
        model(row, position_ids=torch.tensor([[*range(4), *range(5)]]), **option)
    except ValueError as error:
        print("llm：" + str(error).split("：")[0])
    else:
        raise AssertionError("分不清各篇，应当拒绝")
