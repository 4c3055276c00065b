# %% [markdown]
# # register_buffer：不训练，但属于模块
# 来源：PyTorch 文档 `torch.nn.Module.register_buffer`

# %% 三种张量
import torch
from torch import nn


class Scale(nn.Module):
    """同一个数用三种身份放进模块。"""

    def __init__(self) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.ones(2))
        self.register_buffer("fixed", torch.ones(2))
        self.plain = torch.ones(2)  # 只是个属性，模块不知道它


scale = Scale()
print("parameters:", [name for name, _ in scale.named_parameters()])
print("buffers:   ", [name for name, _ in scale.named_buffers()])
print("state_dict:", list(scale.state_dict()))

# %% 跟着走
scale.to(torch.float64)
for name in ("learned", "fixed", "plain"):
    print(f"{name:8}", getattr(scale, name).dtype)

# %% llm 里的旋转表
from llm import LLMConfig
from llm.model import RotaryEmbedding

rope = RotaryEmbedding(LLMConfig(hidden_size=32, num_attention_heads=4, max_position_embeddings=16))
print({name: tuple(table.shape) for name, table in rope.named_buffers()})  # (P, R/2)
print("存进检查点的:", list(rope.state_dict()))  # persistent=False：能重算的不必存

# %% 图
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 2.6))
for pair in range(rope.cos.shape[1]):
    ax.plot(rope.cos[:, pair], marker="o", markersize=3, label=f"第 {pair} 对")
ax.set(xlabel="位置", ylabel="cos", title="旋转表 cos：每一列是一对分量，转得一个比一个慢")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ax.grid(True)

# %% 检验 不被优化
optimizer = torch.optim.SGD(scale.parameters(), lr=0.5)
(scale.learned * scale.fixed).sum().backward()
optimizer.step()
assert scale.fixed.equal(torch.ones(2, dtype=torch.float64))
assert scale.learned.equal(torch.full((2,), 0.5, dtype=torch.float64))
assert scale.fixed.grad is None

# %% 检验 表的值
position = torch.arange(16.0)[:, None]
frequency = 10000.0 ** -(torch.arange(0, 8, 2) / 8)
torch.testing.assert_close(rope.cos, torch.cos(position * frequency))
torch.testing.assert_close(rope.cos**2 + rope.sin**2, torch.ones(16, 4))

# %% 检验 持久与否
class Two(nn.Module):
    """一个存，一个不存。"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(1))
        self.register_buffer("derived", torch.zeros(1), persistent=False)


assert list(Two().state_dict()) == ["kept"]
assert len(list(Two().buffers())) == 2

# %% 坏 忘了登记
moved = Scale().to("meta")  # meta 设备没有数据，用它代替没有的 GPU
print("fixed:", moved.fixed.device, " plain:", moved.plain.device)
try:
    moved.fixed + moved.plain
except RuntimeError as error:
    print("RuntimeError:", str(error).split("!")[0][:70])
else:
    raise AssertionError("两个设备上的张量相加应当报错")

# %% 坏 转成 bf16 的旋转表
table = RotaryEmbedding(LLMConfig(hidden_size=32, num_attention_heads=4))
inverse = 1.0 / 10000.0 ** (torch.arange(0, 8, 2) / 8)
narrow = torch.cos(1000 * inverse.bfloat16().float())  # 频率先转窄再乘位置
print("位置 1000 的误差:", f"{(narrow - table.cos[1000]).abs().max():.2f}")
table.to(torch.bfloat16)
print("to(bfloat16) 之后仍是:", table.cos.dtype)  # llm 里特意重填，见 _apply
