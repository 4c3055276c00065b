# %% [markdown]
# # 注意力掩码：谁看得见谁

# %% 因果
from llm.model import attention_mask

mask = attention_mask(4)  # (1, 1, T, S)，True = 看得见
print(tuple(mask.shape), mask.dtype)
print(mask[0, 0].int())

# %% 图
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(3.2, 2.7))
ax.imshow(mask[0, 0], cmap="Blues", vmin=0, vmax=1.6)
ax.set(title="因果", xlabel="键 S", ylabel="查询 T");

# %% 检验 与 torch.tril 相同
import torch

expected = torch.ones(4, 4, dtype=torch.bool).tril()
assert mask[0, 0].equal(expected)

# %% 坏 差了一格
wrong = torch.ones(4, 4, dtype=torch.bool).tril(-1)  # 自己也看不见自己
print(wrong.int())
assert not wrong.equal(expected)
