# %% [markdown]
# # 类型标注：Optional 与 Tuple
# 来源：Python 文档 `typing`；PEP 484；PEP 604

# %% Optional 说的是可以为 None
from typing import Optional, Tuple, Union, get_args

print(Optional[int] == Union[int, None])
print(get_args(Optional[int]))


def scale(x: float, by: Optional[float]) -> float:
    """`by` 可以是 None，但调用时不能不写。"""
    return x if by is None else x * by


print(scale(3.0, None), scale(3.0, 2.0))
try:
    scale(3.0)
except TypeError as error:
    print("TypeError:", str(error).removeprefix("scale() "))

# %% Tuple 的长度
print(get_args(Tuple[int, str]))  # 恰好两个
print(get_args(Tuple[int, ...]))  # 任意多个 int
print(get_args(Tuple[int]))  # 恰好一个，不是「一串 int」

# %% llm 的签名
import inspect

from llm.model import Attention, LLMModel, Past

for name, parameter in inspect.signature(Attention.forward).parameters.items():
    if parameter.default is None:
        print(f"{name}: 缺省 None，标注 Optional：{type(None) in get_args(parameter.annotation)}")
print("past_key_values 可以是:", [getattr(kind, "__name__", str(kind)) for kind in get_args(Past)])

# %% 标注不拦人
def double(x: int) -> int:
    """运行时没有人看标注。"""
    return x + x


print(double("ab"))
print(double.__annotations__)

# %% 检验 与内建写法相同
assert Optional[int] == int | None
assert get_args(Optional[int]) == get_args(int | None) == (int, type(None))
assert get_args(Tuple[int, ...]) == get_args(tuple[int, ...])
assert get_args(Optional[Optional[int]]) == get_args(Optional[int])  # 套两层等于一层

# %% 检验 签名里的缺省值
for method in (Attention.forward, LLMModel.forward):
    for parameter in inspect.signature(method).parameters.values():
        if parameter.default is None:
            assert type(None) in get_args(parameter.annotation), parameter

# %% 检验 返回的元组真的是那个长度
import torch

from llm import LLMConfig

config = LLMConfig(hidden_size=16, num_attention_heads=4)
layer = Attention(config)
angle = torch.zeros(1, 1, 3, 2)
result = layer(torch.randn(1, 3, 16), angle.cos(), angle.sin())
returns = inspect.signature(Attention.forward).return_annotation
assert isinstance(result, tuple) and len(result) == len(get_args(returns)) == 2
assert isinstance(result[1], tuple) and len(result[1]) == 2

# %% 坏 用真假代替 is None
def mask_or_all(x: torch.Tensor, mask: Optional[torch.Tensor] = None) -> torch.Tensor:
    """错的写法：张量的真假不是「有没有给」。"""
    return x * mask if mask else x


print(mask_or_all(torch.ones(2)))
print(mask_or_all(torch.ones(1), torch.zeros(1)))  # 给了掩码 0，却被当成没给
try:
    mask_or_all(torch.ones(2), torch.zeros(2))
except RuntimeError as error:
    print("RuntimeError:", error)

# %% 坏 多了一个逗号
def last_hidden(x: torch.Tensor) -> torch.Tensor:
    """行尾的逗号把返回值变成了元组。"""
    return x,


print(type(last_hidden(torch.ones(2))).__name__)
try:
    last_hidden(torch.ones(2)).shape
except AttributeError as error:
    print("AttributeError:", error)
