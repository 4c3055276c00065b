# %% [markdown]
# # 各头的合并：transpose、reshape，再 o_proj
# 来源：Vaswani et al. 2017, §3.2.2；PyTorch 文档 `torch.Tensor.view`、`torch.Tensor.contiguous`

# %% 先算出每个头的输出
import torch
from torch import Tensor

from llm import LLMConfig
from llm.model import Attention, apply_rotary, attention_weights, causal_mask

torch.manual_seed(0)
B, T, C, H, D = 1, 3, 8, 2, 4
attention = Attention(LLMConfig(hidden_size=C, num_attention_heads=H)).requires_grad_(False)
cos, sin = torch.ones(B, 1, T, D // 2), torch.zeros(B, 1, T, D // 2)  # 转 0 度，只看合并


def head_outputs(x: Tensor) -> Tensor:
    """各头的输出 (B, H, T, D)：与 Attention 同样的投影与权重，只是停在合并之前。"""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    q, k, v = (p(x).view(B, -1, H, D).transpose(1, 2) for p in projections)  # 各 (B, H, T, D)
    return attention_weights(q, k, causal_mask(x.shape[1])) @ v


def merge(y: Tensor) -> Tensor:
    """(B, H, T, D) → (B, T, H*D)：把头挪到 D 旁边，再并成一维，即 llm 里的那一行。"""
    return y.transpose(1, 2).reshape(B, y.shape[2], -1)


x = torch.randn(B, T, C)
y = head_outputs(x)
whole, _ = attention(x, cos, sin)  # 真的 Attention，走 SDPA
print("y:", tuple(y.shape), " 合并:", tuple(merge(y).shape), " o_proj 之后:", tuple(whole.shape))
print("手接的与 Attention 相同:", attention.o_proj(merge(y)).allclose(whole, atol=1e-6))

# %% 每一步的形状与步长
swapped = y.transpose(1, 2)
merged = swapped.contiguous().view(B, T, H * D)
for name, tensor in {"y": y, "transpose(1, 2)": swapped, "contiguous().view": merged}.items():
    shape, stride = str(tuple(tensor.shape)), str(tensor.stride())
    print(f"{name:18}{shape:14}步长 {stride:15}连续 {tensor.is_contiguous()}")
print("transpose 有没有搬数据:", swapped.data_ptr() != y.data_ptr())
print("contiguous 有没有搬数据:", merged.data_ptr() != y.data_ptr())

# %% view 报错，reshape 不报错
try:
    swapped.view(B, T, H * D)
except RuntimeError as error:
    print("view:", str(error)[:72])
print("reshape 相同:", swapped.reshape(B, T, H * D).equal(merged))
last = y[:, :, -1:].contiguous()  # 逐词元解码时 T = 1
print("T = 1 时 view 也行:", tuple(last.transpose(1, 2).view(B, 1, H * D).shape))

# %% SDPA 的输出
from torch.nn.attention import SDPBackend, sdpa_kernel

sdpa = torch.nn.functional.scaled_dot_product_attention
straight, crossed = torch.randn(1, 2, 3, 4), torch.randn(1, 3, 2, 4).transpose(1, 2)
rotated = apply_rotary(crossed, cos, sin)  # llm 的 q 还转过：末尾的 cat 得到新的、连续的一块
for name, q in {"连续": straight, "由 transpose 得来": crossed, "再转过": rotated}.items():
    for kind in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        with sdpa_kernel(kind):
            out = sdpa(q, q, q, is_causal=True).transpose(1, 2)  # (B, T, H, D)
        print(f"q {name}，{kind.name}：转置之后连续 {out.is_contiguous()}")

# %% o_proj 不一定是方阵
qwen = Attention(LLMConfig.preset("qwen3", hidden_size=1024, num_attention_heads=16))
print("q_proj:", tuple(qwen.q_proj.weight.shape), " o_proj:", tuple(qwen.o_proj.weight.shape))

# %% 是谁把各头混在一起
from copy import deepcopy

from torch import nn


def changed_columns(module: Attention) -> list[int]:
    """扰动第 1 个头的 q、k、v 投影，看输出的哪几维变了。"""
    other = deepcopy(module)
    for projection in (other.q_proj, other.k_proj, other.v_proj):
        projection.weight[D:] += 1.0  # 第 1 个头的那 D 行
    moved = other(x, cos, sin)[0] != module(x, cos, sin)[0]  # (B, T, C)
    return moved[0].any(dim=0).int().tolist()


bare = deepcopy(attention)
bare.o_proj = nn.Identity()  # 这里 H*D = C，去掉投影也能跑
print("没有 o_proj:", changed_columns(bare))
print("有 o_proj:  ", changed_columns(attention))

# %% 图
import matplotlib.pyplot as plt
from torch.autograd.functional import jacobian

before = jacobian(lambda z: merge(z)[0, 0], y)[:, 0, :, 0].reshape(H * D, H * D)
after = jacobian(lambda z: attention.o_proj(merge(z))[0, 0], y)[:, 0, :, 0].reshape(C, H * D)
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3))
for ax, grid, title in zip(axes, (before, after), ("只合并", "合并，再 o_proj"), strict=True):
    ax.imshow(grid.abs(), cmap="Blues", vmin=0, vmax=grid.abs().max())
    ax.axvline(D - 0.5, color="#d9822b", linewidth=2)
    ax.set(title=title, xlabel="左：头 0 的 4 维　右：头 1 的 4 维", ylabel="结果的第几维")
    ax.set(xticks=range(H * D), yticks=range(C))
figure.tight_layout()
figure.set_label(
    "两张 8×8 的热图，橙线左边是头 0、右边是头 1：只合并是一条对角线，每一维只来自一处；"
    "再过 o_proj，处处有深有浅，每一维都混了两个头"
)

# %% 检验 切块求和等于整体
blocks = attention.o_proj.weight.split(D, dim=1)  # H 块，每块 (C, D)
total = sum(y[:, h] @ block.T for h, block in enumerate(blocks))  # (B, T, C)
torch.testing.assert_close(total, whole)  # 旁证：真的 Attention
weight = attention.o_proj.weight.view(C, H, D)
torch.testing.assert_close(torch.einsum("bhtd,chd->btc", y, weight), whole)
biased = nn.Linear(H * D, C)  # 有偏置：整个和只加一次
pieces = sum(y[:, h] @ block.T for h, block in enumerate(biased.weight.split(D, dim=1)))
torch.testing.assert_close(pieces + biased.bias, biased(merge(y)))

# %% 检验 合并只是重排
for h in range(H):
    for t in range(T):
        assert merge(y)[0, t, h * D : (h + 1) * D].equal(y[0, h, t])

# %% 检验 没有 o_proj 各头互不相干
assert changed_columns(bare) == [0] * D + [1] * D
assert changed_columns(attention) == [1] * C
assert before.equal(torch.eye(H * D))
torch.testing.assert_close(after, attention.o_proj.weight, rtol=0, atol=0)

# %% 检验 头的次序无所谓
order = torch.tensor([1, 0])
columns = weight[:, order].reshape(C, H * D)  # 头换了次序，o_proj 的列跟着换
torch.testing.assert_close(merge(y[:, order]) @ columns.T, whole)
assert not attention.o_proj(merge(y[:, order])).allclose(whole, atol=1e-3)  # 只换一边就错

# %% 检验 v 与 o 能并成一个矩阵
rows = attention.v_proj.weight.split(D)  # 每个头的 (D, C)
probabilities = attention_weights(
    *(p(x).view(B, T, H, D).transpose(1, 2) for p in (attention.q_proj, attention.k_proj)),
    causal_mask(T),
)  # (B, H, T, T)
fused = [blocks[h] @ rows[h] for h in range(H)]  # 每个头 (C, C)
folded = sum(probabilities[:, h] @ x @ fused[h].T for h in range(H))  # 先对 x 加权，再乘矩阵
torch.testing.assert_close(folded, whole)
first = sum(probabilities[:, h] @ (x @ fused[h].T) for h in range(H))  # 先乘：每个头一份 (T, C)
torch.testing.assert_close(first, whole)
assert all(torch.linalg.matrix_rank(each) <= D < C for each in fused)

# %% 检验 拆头也要 transpose
flat = (10 * torch.arange(T)[:, None] + torch.arange(H * D)).view(1, T, H * D)  # 十位是词元
head_0 = flat.view(1, T, H, D).transpose(1, 2)[0, 0]
assert head_0.tolist() == [[10 * t + d for d in range(D)] for t in range(T)]
mixed = flat.view(1, H, T, D)[0, 0]  # 省掉 transpose：头 0 里混进了别的
assert not mixed.equal(head_0) and mixed[1].tolist() == [D, D + 1, D + 2, D + 3]

# %% 坏 忘了 transpose
label = torch.tensor([[[100 * h + 10 * t + d for d in range(2)] for t in range(3)] for h in (1, 2)])
label = label[None]  # (B, H, T, D) = (1, 2, 3, 2)，百位是头，十位是词元
print("对:", label.transpose(1, 2).reshape(1, 3, 4).tolist()[0])
print("错:", label.reshape(1, 3, 4).tolist()[0])

# %% 坏 未来漏了进来
later = x.clone()
later[:, 1:] += 1.0  # 只改第 0 个词元之后的
y_later = head_outputs(later)
right = (merge(y_later) - merge(y))[0, 0].abs().max()
wrong = (y_later.reshape(B, T, -1) - y.reshape(B, T, -1))[0, 0].abs().max()
print("第 0 个词元的输出变了吗？对:", bool(right > 1e-6), " 错:", bool(wrong > 1e-6))
print("T = 1 时错的与对的相同:", last.reshape(B, 1, -1).equal(merge(last)))
assert right <= 1e-6 < wrong
