# %% [markdown]
# # triu 与 tril：留下对角线的一侧
# 来源：PyTorch 文档 `torch.tril`、`torch.triu`；Vaswani et al. 2017, §3.2.3

# %% 留下哪一半
import torch

x = torch.arange(1, 10).view(3, 3)
print(x.tril())  # l = lower：对角线与它的左下，其余成 0
print(x.triu())  # u = upper：对角线与它的右上

# %% diagonal 推动分界线
for diagonal in (-1, 0, 1):
    lower, upper = x.tril(diagonal), x.triu(diagonal)
    print(f"diagonal={diagonal:2}  tril {lower.tolist()}")
    print(f"             triu {upper.tolist()}")

# %% 有过去的矩形
from llm.model import causal_mask

T, past = 2, 3
S = past + T
visible = torch.ones(T, S, dtype=torch.bool).tril(diagonal=past)  # (T, S)，True = 看得见
print(visible.int())
print("与 llm 的掩码相同:", visible.equal(causal_mask(T, past)[0, 0]))

# %% 图
import matplotlib.pyplot as plt


def draw(ax: plt.Axes, kept: torch.Tensor, title: str, color: str) -> None:
    """留下的格子涂色，并画出 j − i = 0 的主对角线。"""
    rows, columns = kept.shape
    for i in range(rows):
        for j in range(columns):
            face = color if kept[i, j] else "none"
            ax.add_patch(plt.Rectangle((j, i), 0.92, 0.92, facecolor=face, edgecolor="#888888"))
    side = min(rows, columns)
    ax.plot([0, side], [0, side], color="#888888", linestyle="--", linewidth=1)
    ax.set(xlim=(-0.1, columns), ylim=(rows, -0.1), aspect="equal", xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)
    ax.axis("off")


figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.6), width_ratios=[4, 4, 4, 5])
square, wide = torch.ones(4, 4), torch.ones(2, 5)
for ax, diagonal in zip(axes[0], (-1, 0, 1), strict=False):
    draw(ax, square.tril(diagonal), f"tril, diagonal={diagonal}", "#3f7fbf")
for ax, diagonal in zip(axes[1], (-1, 0, 1), strict=False):
    draw(ax, square.triu(diagonal), f"triu, diagonal={diagonal}", "#d9822b")
draw(axes[0, 3], wide.tril(3), "T=2, S=5：tril(3)", "#3f7fbf")
draw(axes[1, 3], wide.triu(4), "它的补：triu(4)", "#d9822b")
figure.tight_layout()
figure.set_label(
    "上排 tril 留下左下，diagonal 从 -1 到 1，多留一条条对角线；下排 triu 留下右上，diagonal 从 -1 到 1，越留越少；"
    "T = 2、S = 5 时 tril(3) 只有右上角一格空着，它的补 triu(4) 恰是那一格"
)

# %% 滑动窗口
window = 2  # 每个查询只看自己与前一个
band = causal_mask(5)[0, 0] & torch.ones(5, 5, dtype=torch.bool).triu(1 - window)
print(band.int())
by_rule = [[0 <= t - s < window for s in range(5)] for t in range(5)]  # 距离在 0 与 window 之间
print("与逐格写的不等式相同:", band.tolist() == by_rule)
ones = torch.ones(T, S, dtype=torch.bool)  # 有过去：两条边界都要推过 past
print(f"过去 {past}，新来 {T}：")
print((ones.tril(past) & ones.triu(past + 1 - window)).int())
print(
    "忘了推 triu 的那条，每行看见几个:", (ones.tril(past) & ones.triu(1 - window)).sum(-1).tolist()
)

# %% 检验 逐格按定义
for T, S in ((1, 1), (3, 3), (2, 5), (5, 2)):
    full = torch.arange(1, T * S + 1).view(T, S)  # 没有 0，留没留看得出来
    for d in range(-T, S + 1):
        low = [[int(full[i, j]) if j - i <= d else 0 for j in range(S)] for i in range(T)]
        high = [[int(full[i, j]) if j - i >= d else 0 for j in range(S)] for i in range(T)]
        assert full.tril(d).tolist() == low
        assert full.triu(d).tolist() == high

# %% 检验 与 numpy 相同，末两维之外各自做
import numpy as np

batch = torch.randn(2, 3, 4, 6)
for d in (-2, 0, 3):
    assert np.array_equal(batch.tril(d), np.tril(batch.numpy(), d))
    assert np.array_equal(batch.triu(d), np.triu(batch.numpy(), d))
assert np.tril(np.array([1, 2])).tolist() == [[1, 0], [1, 2]]  # 一维：NumPy 先抄成方阵的每一行

# %% 检验 互补与转置
for d in (-2, 0, 3):
    assert (batch.tril(d) + batch.triu(d + 1)).equal(batch)  # 分界线差一格，恰好拼成整张
    assert batch.tril(d).mT.equal(batch.mT.triu(-d))  # 转置之后，左下成右上，diagonal 变号

# %% 检验 两头的极限
assert not torch.ones(3, 5).tril(-3).any()  # diagonal = −行数：一格不剩
assert torch.ones(3, 5).tril(4).all()  # diagonal = 列数 − 1：全留
step = torch.ones(1, 8, dtype=torch.bool).tril(7)  # 逐词元解码：T = 1，S = 8
assert step.all() and step.equal(causal_mask(1, past=7)[0, 0])

# %% 检验 与 llm 的掩码相同
for past, T in ((0, 4), (3, 2), (7, 1)):
    S = past + T
    ones = torch.ones(T, S, dtype=torch.bool)
    assert ones.tril(past).equal(causal_mask(T, past)[0, 0])
    assert ones.triu(past + 1).equal(~causal_mask(T, past)[0, 0])  # 要遮住的
    assert ones.tril(S - T).equal(ones.tril(past))  # 对齐右下角，是一回事
    for window in (1, 2, 5):
        near = [[0 <= past + t - s < window for s in range(S)] for t in range(T)]
        assert (ones.tril(past) & ones.triu(past + 1 - window)).tolist() == near

# %% 检验 两种极性
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa

see, hide = torch.ones(4, 4, dtype=torch.bool).tril(), torch.ones(4, 4, dtype=torch.bool).triu(1)
assert see.equal(~hide)
x = torch.randn(1, 4, 8)
_, weights = nn.MultiheadAttention(8, 1, batch_first=True)(x, x, x, attn_mask=hide)  # True = 遮住
assert weights.triu(1).eq(0).all() and weights.diagonal(dim1=1, dim2=2).gt(0).all()
one_hot = torch.eye(4)[None, None]  # 值取单位阵，输出就是权重
seen = sdpa(x[None], x[None], one_hot, see)  # True = 看得见
assert seen.gt(0)[0, 0].equal(see)

# %% 检验 名字、类型与维数
assert not hasattr(torch, "trilu")
for dtype in (torch.bool, torch.int64, torch.bfloat16):
    assert torch.ones(2, 2, dtype=dtype).tril().dtype == dtype
try:
    torch.ones(3).tril()
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("一维张量没有左下角，应当报错")

# %% 坏 忘了过去
wrong = torch.ones(2, 5, dtype=torch.bool).tril()  # 对齐左上角，过去只看得见一两个
print(wrong.int())
print("看得见自己吗:", [bool(wrong[t, 3 + t]) for t in range(2)])
query, keys = torch.randn(1, 1, 2, 8), torch.randn(1, 1, 5, 8)
used = sdpa(query, keys, torch.eye(5)[None, None], is_causal=True)[0, 0] > 0
print("SDPA 的 is_causal 正是这张表:", used.equal(wrong))

# %% 坏 遮住未来时写成 triu(0)
scores = torch.zeros(3, 3)
hide_self = scores.masked_fill(torch.ones(3, 3).triu(0).bool(), float("-inf")).softmax(-1)
hide_future = scores.masked_fill(torch.ones(3, 3).triu(1).bool(), float("-inf")).softmax(-1)
torch.set_printoptions(precision=2)
print(hide_self)  # 第 0 行一个键也看不见：NaN
print(hide_future)

# %% 坏 用乘法造 -inf
print((1 - torch.ones(3, 3).tril()) * float("-inf"))  # 0 × inf 是 NaN
print(torch.full((3, 3), float("-inf")).triu(1))  # triu 是换成 0，不是乘 0
