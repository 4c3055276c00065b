# %% 缓冲区
import torch
from torch import nn

module = nn.Module()
module.register_buffer("table", torch.arange(3.0))
print(list(module.state_dict()), list(module.parameters()))

# %% 检验 跟着模块换精度
assert module.double().table.dtype == torch.float64

# %% 坏 只是一个属性
module.other = torch.arange(3.0)
print("other" in module.state_dict())
