# %% [markdown]
# # 注意力掩码：谁看得见谁
# 来源：Vaswani et al. 2017, §3.2.3；PyTorch 文档 `torch.nn.functional.scaled_dot_product_attention`

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

# %% 图
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
panels = {"因果 T = 4": mask, "过去 3，新来 2": step, "左填充 2 个": both[:1]}
for ax, (title, shown) in zip(axes, panels.items(), strict=True):
    ax.imshow(shown[0, 0], cmap="Blues", vmin=0, vmax=1.6, aspect="equal")
    ax.set(title=title, xlabel="键 S", ylabel="查询 T")
    ax.set_xticks(range(shown.shape[-1]))
    ax.set_yticks(range(shown.shape[-2]))
figure.tight_layout()

# %% 检验 逐格核对
for past, T in ((0, 1), (0, 5), (3, 2), (7, 1)):
    got = causal_mask(T, past)[0, 0]
    brute = [[key <= past + query for key in range(past + T)] for query in range(T)]
    assert got.tolist() == brute
    assert got.equal(torch.ones(T, past + T, dtype=torch.bool).tril(past))

# %% 检验 挡住未来
x, y = torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8)
changed = y.clone()
changed[:, :, 3] += 100.0  # 只改最后一个键
before, after = attention_weights(x, y, mask), attention_weights(x, changed, mask)
torch.testing.assert_close(before[:, :, :3], after[:, :, :3], rtol=0, atol=0)
assert not before[:, :, 3].allclose(after[:, :, 3])

# %% 检验 与 SDPA 相同
v = torch.randn(2, 2, 4, 8)
expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, both)
torch.testing.assert_close(weights @ v, expected, rtol=1e-5, atol=1e-6)

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
sdpa = torch.nn.functional.scaled_dot_product_attention
wrong = sdpa(query, keys, one_hot, is_causal=True)
right = sdpa(query, keys, one_hot, causal_mask(2, past=3))
print("is_causal:", (wrong[0, 0] > 0).int().tolist())
print("带过去的掩码:", (right[0, 0] > 0).int().tolist())
assert not wrong.allclose(right)
