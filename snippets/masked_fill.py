# %% [markdown]
# # masked_fill：True 的地方换成一个数
# 来源：PyTorch 文档 `torch.Tensor.masked_fill_`、`torch.finfo`

# %% 两种写法
import torch

scores = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
hidden = torch.tensor([[False, True, True], [False, False, True]])  # True = 要填的地方
copy = scores.masked_fill(hidden, -1.0)  # 新张量，scores 不变
print(copy)
print(scores)
same = scores.masked_fill_(hidden, -1.0)  # 下划线：就地改，返回它自己
print(same is scores, scores[0, 1].item())

# %% 广播
mask = torch.ones(3, 3, dtype=torch.bool).tril()  # (T, S)，True = 看得见
grid = torch.zeros(2, 2, 3, 3)  # (B, H, T, S)
filled = grid.masked_fill(~mask, float("-inf"))  # 掩码要能广播到 grid 的形状
print(filled[1, 1])

# %% 在 softmax 之前填
from llm.model import causal_mask, attention_weights

torch.manual_seed(0)
q = torch.randn(1, 1, 3, 4)  # (B, H, T, D)
k = torch.randn(1, 1, 3, 4)  # (B, H, S, D)
weights = attention_weights(q, k, causal_mask(3))
print(weights[0, 0])
print("每行之和:", weights.sum(-1)[0, 0].tolist())

# %% 图
import matplotlib.pyplot as plt

raw = torch.tensor([2.0, 1.0, 0.5, 1.5])
cut = torch.tensor([False, False, True, True])
bars = {
    "不填": raw.softmax(0),
    "填 0：还分到概率": raw.masked_fill(cut, 0.0).softmax(0),
    "填 -inf：恰好是 0": raw.masked_fill(cut, float("-inf")).softmax(0),
}
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.4), sharey=True)
for ax, (title, height) in zip(axes, bars.items(), strict=True):
    ax.bar(range(4), height, color=["#3f7fbf", "#3f7fbf", "#d9822b", "#d9822b"])
    ax.set(title=title, xlabel="键")
axes[0].set_ylabel("softmax 之后")
figure.tight_layout()

# %% 检验 与 where 相同
torch.manual_seed(1)
x = torch.randn(4, 5, 6)
m = torch.rand(5, 6) > 0.5
expected = torch.where(m, torch.tensor(7.0), x)
torch.testing.assert_close(x.masked_fill(m, 7.0), expected, rtol=0, atol=0)
assert x.masked_fill(m, 7.0).data_ptr() != x.data_ptr()
assert x.masked_fill_(m, 7.0).data_ptr() == x.data_ptr()
assert x.equal(expected)

# %% 检验 只认布尔
try:
    torch.zeros(2).masked_fill(torch.tensor([1, 0]), 9.0)
except RuntimeError as error:
    print(str(error).splitlines()[0])
else:
    raise AssertionError("整数掩码应当报错")

# %% 检验 谁能广播
wide = torch.ones(2, 3, dtype=torch.bool)
assert torch.zeros(3).masked_fill(wide, 1.0).shape == (2, 3)
try:
    torch.zeros(3).masked_fill_(wide, 1.0)
except RuntimeError as error:
    print(str(error).splitlines()[0])
else:
    raise AssertionError("就地操作不能把张量变大")

# %% 检验 权重
hand = (q @ k.transpose(-2, -1) / 2.0).masked_fill(~causal_mask(3), float("-inf")).softmax(-1)
torch.testing.assert_close(weights, hand)
assert (weights.masked_select(~causal_mask(3)) == 0).all()

# %% 坏 fp16 里的 -1e9
half = torch.tensor([0.5, 0.25], dtype=torch.float16)
print("fp16 最小的有限数:", torch.finfo(torch.float16).min)
causal = torch.tensor([0.0, -1e9]).half()  # 溢出成 -inf
padded = torch.tensor([-1e9, 0.0]).half()
print("加到分数上:", (half + causal + padded).tolist())
print("softmax:", (half + causal + padded).softmax(-1).tolist())
try:
    half.masked_fill(torch.tensor([True, False]), -1e9)
except RuntimeError as error:
    print("masked_fill:", str(error).splitlines()[0])

# %% 坏 就地改了反向要用的值
leaf = torch.tensor([1.0, 2.0], requires_grad=True)
y = leaf.exp()  # exp 的梯度要用它自己的输出
y.masked_fill_(torch.tensor([True, False]), 0.0)
try:
    y.sum().backward()
except RuntimeError as error:
    print("version" in str(error), "modified by an inplace operation" in str(error))
else:
    raise AssertionError("应当因为版本号变了而报错")
