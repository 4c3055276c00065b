# %% [markdown]
# # 广播：从右对齐，长度 1 的维重复着用
# 来源：NumPy 文档 *Broadcasting*；PyTorch 文档 *Broadcasting semantics*

# %% 三处真的广播
import torch

from llm import LLMConfig
from llm.model import RMSNorm, RotaryEmbedding, apply_rotary, attention_weights, causal_mask

torch.manual_seed(0)
B, H, T, D = 2, 4, 3, 8
config = LLMConfig(hidden_size=H * D, num_attention_heads=H)
q, k = torch.randn(B, H, T, D), torch.randn(B, H, T, D)
mask = causal_mask(T)  # (1, 1, T, S)：键的 (S,) 与查询的 (T, 1) 两两比较得来
weights = attention_weights(q, k, mask)
print("掩码:", tuple(mask.shape), "对分数", tuple(weights.shape))
cos, sin = RotaryEmbedding(config)(torch.arange(T).expand(B, T), q.dtype)
turned = apply_rotary(q, cos, sin)
print("cos: ", tuple(cos.shape), "对半个头", (*q.shape[:-1], D // 2), "→", tuple(turned.shape))
norm = RMSNorm(H * D, 1e-6)
x = torch.randn(B, T, H * D)
print("权重:", tuple(norm.weight.shape), "对隐藏状态", tuple(norm(x).shape))


# %% 规则
def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """两个形状广播之后的形状；对不上就抛 ValueError。"""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b  # 短的在左边补 1
    for d, (m, n) in enumerate(zip(a, b, strict=True)):
        if m != n and 1 not in (m, n):
            raise ValueError(f"从右数第 {rank - d} 维：{m} 对 {n}")
    return tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


pairs = [
    ((2, 4, 3, 3), (1, 1, 3, 3)), ((2, 4, 3, 4), (2, 1, 3, 4)), ((2, 3, 32), (32,)),
    ((3,), (3, 1)), ((8, 1, 6, 1), (7, 1, 5)), ((2, 3), ()), ((2, 3), (2,)), ((4, 1), (4,)),
]  # fmt: skip
for a, b in pairs:
    try:
        print(a, "与", b, "→", broadcast_shape(a, b))
    except ValueError as error:
        print(a, "与", b, "报错，", error)

# %% 图
import matplotlib.pyplot as plt

cases = {
    "分数与掩码": (("B", "H", "T", "S"), ("1", "1", "T", "S")),
    "半个头与 cos": (("B", "N", "T", "R/2"), ("B", "1", "T", "R/2")),
    "隐藏状态与权重": (("B", "T", "C"), ("C",)),
    "键与查询的位置": (("S",), ("T", "1")),
    "预测与标签，少一维": (("B", "1"), ("B",)),
}
figure, axes = plt.subplots(1, 5, figsize=(7.6, 1.9))
for ax, (title, (a, b)) in zip(axes, cases.items(), strict=True):
    a, b = ("",) * (4 - len(a)) + a, ("",) * (4 - len(b)) + b
    out = tuple(m if n in ("", "1") else n for m, n in zip(a, b, strict=True))
    for row, shape in enumerate((a, b, out)):
        for column, name in enumerate(shape):
            if not name and not out[column]:
                continue  # 三行在这一维都没有
            stretched = row < 2 and name != out[column]
            color = "#8a4fbf" if row == 2 else "#d9822b" if stretched else "#3f7fbf"
            box = plt.Rectangle((column, row * 1.15), 0.9, 0.9, color=color, alpha=0.8)
            ax.add_patch(box)
            style = {"ha": "center", "va": "center", "color": "#ffffff", "fontsize": 8}
            ax.text(column + 0.45, row * 1.15 + 0.45, name, **style)
    ax.set(xlim=(-0.1, 4), ylim=(3.3, -0.1), aspect="equal")
    ax.set_title(title, fontsize=8)
    ax.axis("off")
figure.tight_layout()
figure.set_label(
    "五对形状右对齐叠放：上两行是输入，橙色的是 1 或缺的维，第三行是结果；"
    "「预测与标签，少一维」的 (B, 1) 与 (B,) 广播成了 (B, B)"
)

# %% 不拷贝
row = torch.arange(3.0)  # (3,)
seen = torch.broadcast_to(row, (1000, 3))
print("步长:", seen.stride(), " 内存:", seen.untyped_storage().nbytes(), "字节")
wide = mask.expand(64, 32, T, T)
print("掩码摊开要", wide.numel(), "格，广播只用", mask.untyped_storage().nbytes(), "格")
print("结果是真的要占的:", tuple((torch.zeros(1000, 1) - torch.zeros(1000)).shape))

# %% 就地与矩阵乘
total = torch.zeros(3)
try:
    total += torch.ones(2, 3)  # 左边的形状不能变
except RuntimeError as error:
    print("就地:", error)
total += 1.0  # 标量是 0 维，与谁都对得上
print("标量:", total.tolist())
left, right = torch.zeros(5, 1, 2, 3), torch.zeros(4, 3, 6)
print("矩阵乘只广播前面的维:", tuple((left @ right).shape))  # 最后两维照矩阵乘的规矩
flat = torch.zeros(3)
print("一边是一维:", tuple((left @ flat).shape), tuple((flat @ right).shape), tuple((flat @ flat).shape))

# %% 检验 规则与 NumPy、torch 相同
import itertools

import numpy as np

shapes = [s for rank in range(4) for s in itertools.product((0, 1, 2, 3), repeat=rank)]
fine = 0
for a, b in itertools.product(shapes, shapes):
    answers = []
    for rule, error in (
        (broadcast_shape, ValueError),
        (np.broadcast_shapes, ValueError),
        (torch.broadcast_shapes, RuntimeError),
    ):
        try:
            answers.append(tuple(rule(a, b)))
        except error:
            answers.append(None)
    assert answers[0] == answers[1] == answers[2], (a, b, answers)
    fine += answers[0] is not None
print(f"{len(shapes) ** 2} 对形状，{fine} 对得上，其余都报错")

# %% 检验 逐元素的定义
for a, b in (((2, 4, 3, 3), (1, 1, 3, 3)), ((8, 1, 6, 1), (7, 1, 5)), ((3,), (4, 1))):
    first, second = torch.randn(a), torch.randn(b)
    out = first * second
    assert out.shape == broadcast_shape(a, b)
    assert (out.numpy() == first.numpy() * second.numpy()).all()  # NumPy 自己广播
    for index in np.ndindex(*out.shape):
        picked = []
        for t in (first, second):  # 各取各的：短的丢掉左边的下标，长度 1 的维总取 0
            own = index[out.dim() - t.dim() :]
            picked.append(t[tuple(0 if n == 1 else i for i, n in zip(own, t.shape, strict=True))])
        assert out[index] == picked[0] * picked[1]

# %% 检验 llm 的三处，逐头逐词元算
for seed in range(3):
    torch.manual_seed(seed)
    q, k, x = torch.randn(B, H, T, D), torch.randn(B, H, T, D), torch.randn(B, T, H * D)
    places = torch.randint(50, (B, T))  # 两行的位置不同
    cos, sin = RotaryEmbedding(config)(places, q.dtype)
    weights, turned = attention_weights(q, k, mask), apply_rotary(q, cos, sin)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
    normed = norm(x)
    for b, t in np.ndindex(B, T):
        vector = x[b, t].double().numpy()
        scale = np.sqrt((vector**2).mean() + 1e-6)
        wanted = norm.weight.detach().double().numpy() * vector / scale
        np.testing.assert_allclose(normed[b, t].detach(), wanted, rtol=1e-5, atol=1e-6)
        for h in range(H):
            z = q[b, h, t].double().numpy()
            theta = 10000.0 ** (-np.arange(4) / 4) * places[b, t].item()
            z = (z[:4] + 1j * z[4:]) * np.exp(1j * theta)
            wanted = np.concatenate([z.real, z.imag])
            np.testing.assert_allclose(turned[b, h, t], wanted, rtol=1e-4, atol=1e-5)
            scores = np.array([float(q[b, h, t] @ k[b, h, s]) / D**0.5 for s in range(t + 1)])
            share = np.exp(scores - scores.max())
            wanted = np.append(share / share.sum(), np.zeros(T - 1 - t))  # 看不见的恰好是 0
            np.testing.assert_allclose(weights[b, h, t], wanted, rtol=1e-4, atol=1e-6)

# %% 检验 掩码逐格与定义相同
from llm.model import document_mask

real = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])  # (B, S)，第 0 行左边是填充
both = causal_mask(3, past=2, padding=real)  # (B, 1, T, S)
for b, t, s in np.ndindex(2, 3, 5):
    assert bool(both[b, 0, t, s]) == (s <= 2 + t and bool(real[b, s]))
starts = torch.tensor([[0, 1, 0, 1, 2], [0, 1, 2, 3, 0]])  # (B, T)，位置归零就是新的一篇
same = document_mask(starts)  # (B, 1, T, T)
articles = [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]
for b, t, s in np.ndindex(2, 5, 5):
    assert bool(same[b, 0, t, s]) == (s <= t and articles[b][s] == articles[b][t])

# %% 检验 反向就是沿广播的维求和
push = torch.randn(B, T, H * D)
norm.weight.grad = None
(norm(x) * push).sum().backward()
unit = norm(x).detach() / norm.weight.detach()
torch.testing.assert_close(norm.weight.grad, (unit * push).sum(dim=(0, 1)))  # (C,)，B 与 T 都加起来
small = torch.zeros(1, 3, requires_grad=True)
(small + torch.zeros(5, 3)).sum().backward()
assert small.grad.tolist() == [[5.0, 5.0, 5.0]]


# %% 检验 自测里的说法
def shape_or_error(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """乘出来的形状；报错则 None。"""
    try:
        return tuple((torch.zeros(a) * torch.zeros(b)).shape)
    except RuntimeError:
        return None


assert shape_or_error((8, 1, 6, 1), (7, 1, 5)) == (8, 7, 6, 5)
assert shape_or_error((4, 6), (4,)) is None and shape_or_error((4, 4), (4,)) == (4, 4)
assert shape_or_error((4, 1), (4,)) == (4, 4) and shape_or_error((4, 6), (4, 1)) == (4, 6)
assert shape_or_error((2, 4, 3, 3), (2, 1, 3)) is None  # real[:, None, :]，对上的是 H
assert shape_or_error((4, 4, 3, 3), (4, 1, 3)) == (4, 4, 3, 3)  # B = H，不报错
assert all(shape_or_error((n, 1), (n,)) == (n, n) for n in (2, 5, 7))  # 自己带着 1 的，总不报错
assert (torch.zeros(5, 2, 3) @ torch.zeros(3)).shape == (5, 2)  # 一维的当作向量
assert shape_or_error((2, 4, 3, 4), (1, 2, 3, 4)) is None  # cos.unsqueeze(0)

# %% 坏 填充掩码少了两维
for batch in (1, 2, 3):  # T 是 3
    real = torch.tensor([[0, 1, 1], [1, 1, 1], [1, 1, 1]])[:batch].bool()  # (B, S)，第 0 行左边是填充
    q, k = torch.randn(batch, H, T, D), torch.randn(batch, H, T, D)
    try:
        wrong = attention_weights(q, k, mask & real)  # 少了 [:, None, None, :]
    except RuntimeError as error:
        print(f"B = {batch}: RuntimeError，{str(error).split(' at ')[0]}")
        continue
    right = attention_weights(q, k, mask & real[:, None, None, :])
    same = torch.isclose(wrong, right).all(-1).all(1).int()  # (B, T)：每个查询对不对
    assert same.diagonal().all()  # 第 b 条的第 b 个查询用的正是自己的填充
    print(f"B = {batch}: 不报错，形状 {tuple(wrong.shape)}，对不对 {same.tolist()}")
real = torch.tensor([[0, 1, 1], [1, 1, 1]]).bool()  # (B, S)；逐词元解码，T 是 1
q, k = torch.randn(2, H, 1, D), torch.randn(2, H, 3, D)
wrong = attention_weights(q, k, causal_mask(1, past=2) & real)  # 掩码 (1, 1, B, S)
print(f"B = 2、T = 1: 不报错，形状 {tuple(wrong.shape)}，应是 {(2, H, 1, 3)}", end="；")
try:
    torch.nn.functional.scaled_dot_product_attention(q, k, k, causal_mask(1, past=2) & real)
except RuntimeError:
    print("SDPA 报错")

# %% 坏 cos 少了给头的那一维
for batch in (1, 2, 4):  # H 是 4
    worst = []
    for seed in range(10):
        torch.manual_seed(seed)
        q, places = torch.randn(batch, H, T, D), torch.randint(50, (batch, T))
        cos, sin = RotaryEmbedding(config)(places, q.dtype)  # (B, 1, T, R/2)
        try:
            wrong = apply_rotary(q, cos.squeeze(1), sin.squeeze(1))  # (B, T, R/2)
        except RuntimeError:
            break
        right = apply_rotary(q, cos, sin)
        assert batch == 1 or all(wrong[b, b].allclose(right[b, b]) for b in range(H))  # 碰巧对的
        worst.append((wrong - right).abs().max().item())
    ending = f"不报错，最大差 {min(worst):.1f} 到 {max(worst):.1f}（10 个种子）" if worst else "报错"
    print(f"B = {batch}: {ending}")

# %% 坏 忘了 keepdim
square = torch.randn(1, 4, 4)  # T 恰好等于 C
right = square * torch.rsqrt(square.square().mean(-1, keepdim=True))  # (1, 4, 1)
wrong = square * torch.rsqrt(square.square().mean(-1))  # (1, 4)：对上的是 C，不是 T
print("形状相同:", wrong.shape == right.shape, " 每个词元的均方:", end=" ")
print([round(v, 2) for v in right.square().mean(-1)[0].tolist()], end=" 与 ")
print([round(v, 2) for v in wrong.square().mean(-1)[0].tolist()])
step = torch.randn(3, 1, 8)  # T = 1，逐步生成的一步
print("T = 1:", tuple(step.shape), "→", tuple((step * step.square().mean(-1).rsqrt()).shape))

# %% 坏 每行的权重乘到了每个位置上
losses = torch.arange(9.0).view(3, 3)  # (B, T)，恰好 B = T
row_weight = torch.tensor([1.0, 0.0, 0.0])  # (B,)：只要第 0 行
print("对:", (losses * row_weight[:, None]).tolist())
print("错:", (losses * row_weight).tolist(), "← 成了只要第 0 个位置")
