# %% [markdown]
# # masked_fill：True 的地方换成一个数
# 来源：PyTorch 文档 `torch.Tensor.masked_fill_`、`torch.finfo`

# %% 两种写法
import torch
from torch import Tensor

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
print(
    "比最大的小 103、104:", [torch.tensor([0.0, -gap]).softmax(0)[1].item() for gap in (103, 104)]
)

from llm.model import attention_weights, causal_mask

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
figure.set_label(
    "三组柱，softmax 之后四个键的概率，后两个是要遮的：不填，照样分到；"
    "填 0，还剩一点；填 -inf，恰好没有，全归前两个"
)

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

# %% 检验 值的范围与类型
one = torch.tensor([True, False])
for dtype in (torch.float16, torch.bfloat16):
    try:
        torch.zeros(2, dtype=dtype).masked_fill(one, torch.finfo(torch.float32).min)
    except RuntimeError as error:
        print(f"{dtype}：{str(error).splitlines()[0]}")
    else:
        raise AssertionError("fp32 的最小有限数放不进半精度，应当报错")
    assert torch.zeros(2, dtype=dtype).masked_fill(one, float("-inf")).isinf()[0]  # -inf 放得下
for dtype, value in ((torch.uint8, 300), (torch.uint8, -300), (torch.long, float("-inf"))):
    try:
        torch.zeros(2, dtype=dtype).masked_fill(one, value)
    except RuntimeError as error:
        print(f"{dtype}，{value}：{str(error).splitlines()[0]}")
    else:
        raise AssertionError("整数放不下的值应当报错")
assert torch.zeros(2, dtype=torch.uint8).masked_fill(one, -1)[0] == 255  # 例外：不报错，绕回去
whole = torch.zeros(2, dtype=torch.long).masked_fill(one, 1.7)
assert whole.dtype == torch.long and whole.tolist() == [1, 0]  # 类型不变，小数部分丢了
try:
    torch.zeros(2, dtype=torch.long).masked_fill(one, float("-inf"))
except RuntimeError as error:
    print(f"整数里填 -inf：{error}")
else:
    raise AssertionError("整数没有 -inf，应当报错")
assert torch.zeros(2).masked_fill(one, torch.tensor(3.0)).tolist() == [3.0, 0.0]  # 零维张量也行
try:
    torch.zeros(2).masked_fill(one, torch.tensor([3.0]))
except RuntimeError as error:
    print(error)
else:
    raise AssertionError("一维的 value 应当报错")

# %% 检验 权重
hand = (q @ k.transpose(-2, -1) / 2.0).masked_fill(~causal_mask(3), float("-inf")).softmax(-1)
torch.testing.assert_close(weights, hand)
assert (weights.masked_select(~causal_mask(3)) == 0).all()

# %% 检验 全遮的一行是 0
import numpy as np

padded = causal_mask(3, padding=torch.tensor([[0, 1, 1]]))  # 第 0 个查询一个键也看不见
got = attention_weights(q, k, padded)[0, 0]
assert got[0].tolist() == [0.0, 0.0, 0.0]  # 不是 NaN，也不是三分之一
for t in (1, 2):  # 其余各行：numpy 只对看得见的键做 softmax
    seen = padded[0, 0, t].numpy()
    raised = np.exp(q[0, 0, t].double().numpy() @ k[0, 0].double().numpy()[seen].T / 2.0)
    np.testing.assert_allclose(got[t].numpy()[seen], raised / raised.sum(), rtol=1e-5)
    assert (got[t].numpy()[~seen] == 0).all()

# %% 检验 半精度
for seed in range(5):
    torch.manual_seed(seed)
    for dtype in (torch.float16, torch.bfloat16):
        small_q, small_k = torch.randn(2, 1, 2, 4, 8).mul(3).to(dtype)  # 各 (B, H, T, D)
        half = attention_weights(small_q, small_k, causal_mask(4))
        assert half.dtype == dtype
        scores = small_q @ small_k.mT * 8**-0.5  # 矩阵乘还在原来的类型里
        wide = scores.double().masked_fill(~causal_mask(4), float("-inf")).softmax(-1)
        step = torch.finfo(dtype).eps * wide + torch.finfo(dtype).smallest_normal
        assert ((half - wide).abs() <= step).all()  # 只在最后转回时舍入一次
        many = torch.randn(50, 300).mul(3).to(dtype)
        inside = many.softmax(-1) != many.float().softmax(-1).to(dtype)
        assert inside.float().mean() < 0.001  # PyTorch 的半精度 softmax，里面也是按 fp32 算的

# %% 检验 中间也没有 NaN
import warnings


def gradient(low: float) -> Tensor:
    """按 llm 的两步填法，第一次填 low，对 q 求导。"""
    leaf = q.clone().requires_grad_()
    scores = (leaf @ k.mT / 2.0).masked_fill(~padded, low)
    scores.softmax(-1).masked_fill(~padded, 0.0).pow(2).sum().backward()
    return leaf.grad


finite, infinite = gradient(torch.finfo(torch.float32).min), gradient(float("-inf"))
assert finite.isfinite().all() and finite.equal(infinite)  # 两次都填了，结果看不出差别
with torch.autograd.set_detect_anomaly(True):  # 反向的每一步都查 NaN
    leaf = q.clone().requires_grad_()
    attention_weights(leaf, k, padded).pow(2).sum().backward()  # 真的函数，查不出
    torch.testing.assert_close(leaf.grad, finite)
    with warnings.catch_warnings(action="ignore"):  # 它还会打印出错的那一步前向的调用栈
        try:
            gradient(float("-inf"))
        except RuntimeError as error:
            print(str(error).splitlines()[0])
        else:
            raise AssertionError("填 -inf，softmax 的反向应当有 NaN")

# %% 检验 softmax 之前可以就地填
grads = []
for fill in (Tensor.masked_fill, Tensor.masked_fill_):
    leaf = q.clone().requires_grad_()
    scores = leaf @ k.mT  # 矩阵乘的梯度只用 q 与 k，不用它自己的输出
    fill(scores, ~causal_mask(3), -1e4).softmax(-1).pow(2).sum().backward()
    grads.append(leaf.grad)
assert grads[0].equal(grads[1])

# %% 坏 fp16 里的 -1e9
half = torch.tensor([0.5, 0.25], dtype=torch.float16)
print("fp16 最小的有限数:", torch.finfo(torch.float16).min)
causal = torch.tensor([0.0, -1e9]).half()  # 溢出成 -inf
padding = torch.tensor([-1e9, 0.0]).half()
print("只加因果的:", (half + causal).softmax(-1).tolist())  # 有一个 -inf 没事
print("两张都加:  ", (half + causal + padding).tolist())
print("softmax:   ", (half + causal + padding).softmax(-1).tolist())  # 整行都是 -inf 才是 NaN
try:
    half.masked_fill(torch.tensor([True, False]), -1e9)
except RuntimeError as error:
    print("masked_fill:", str(error).splitlines()[0])

# %% 坏 就地改了反向要用的值
for name in ("exp", "softmax", "sigmoid"):
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    y = leaf.softmax(0) if name == "softmax" else getattr(leaf, name)()  # 梯度要用它自己的输出
    y.masked_fill_(torch.tensor([True, False]), 0.0)
    try:
        y.sum().backward()
    except RuntimeError as error:
        print(f"{name}：{'modified by an inplace operation' in str(error)}")
    else:
        raise AssertionError("应当因为版本号变了而报错")
for name in ("sin", "log"):  # 梯度用的是输入：改输出没事
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    getattr(leaf, name)().masked_fill_(torch.tensor([True, False]), 0.0).sum().backward()
    print(f"{name}：不报错，梯度 {[round(g, 2) for g in leaf.grad.tolist()]}")
