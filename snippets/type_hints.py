# %% [markdown]
# # 类型提示：Optional 与 Tuple
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

# %% model.py 开头的名字
import ast
import inspect

import llm.model
from llm import LLMConfig
from llm.model import Attention, LayerPast, LLMModel, Past

lines = ast.parse(inspect.getsource(llm.model)).body
typing_line = next(n for n in lines if isinstance(n, ast.ImportFrom) and n.module == "typing")
print("从 typing 来的:", "、".join(alias.name for alias in typing_line.names))


def names(kinds: tuple[object, ...]) -> list[str]:
    """每个类型的短名。"""
    return [getattr(kind, "__name__", str(kind)) for kind in kinds]


print("Past 可以是:     ", names(get_args(Past)))
print("LayerPast 可以是:", names(get_args(LayerPast)))  # Optional 套 Union，摊平成一层

# %% llm 的签名
for name, parameter in inspect.signature(Attention.forward).parameters.items():
    if parameter.default is None:
        print(f"{name}: 默认 None，标注 Optional：{type(None) in get_args(parameter.annotation)}")

# %% Callable、ClassVar 与字符串
from dataclasses import dataclass, fields
from typing import Callable, ClassVar, get_type_hints


def each(xs: list[float], change: Callable[[float], float]) -> list[float]:
    """change 收一个数、还一个数；写成 Callable[[参数…], 返回值]。"""
    return [change(x) for x in xs]


print("Callable:", each([1.0, -2.0], abs), get_args(Callable[[float], float]))


@dataclass
class Options:
    """dataclass 会读标注：普通的成了字段，ClassVar 的不成。"""

    size: int = 3
    known: ClassVar[tuple[str, ...]] = ("size",)


print("ClassVar 不是字段:", [field.name for field in fields(Options)], Options().known)
written = LLMConfig.preset.__annotations__["return"]
print("字符串:", repr(written), "→", get_type_hints(LLMConfig.preset)["return"])
try:

    class Chain:
        def then(self, other: Chain) -> Chain:  # 类体还没执行完，这个名字还没有
            return other
except NameError as error:
    print("不加引号:", error)

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

# %% 检验 签名里的默认值
for method in (Attention.forward, LLMModel.forward):
    for parameter in inspect.signature(method).parameters.values():
        if parameter.default is None:
            assert type(None) in get_args(parameter.annotation), parameter

from torch import Tensor
from transformers import Cache

assert set(get_args(Past)) == {Cache, Tuple[Tuple[Tensor, Tensor], ...]}
assert set(get_args(LayerPast)) == {Cache, Tuple[Tensor, Tensor], type(None)}
made = LLMConfig.preset("qwen3", hidden_size=64)
assert type(made) is get_type_hints(LLMConfig.preset)["return"]
assert made.qk_norm and made.hidden_size == 64 and made.head_dim == 128

# %% 检验 返回的元组真的是那个长度
import torch

config = LLMConfig(hidden_size=16, num_attention_heads=4)
layer = Attention(config)
angle = torch.zeros(1, 1, 3, 2)
result = layer(torch.randn(1, 3, 16), angle.cos(), angle.sin())
returns = inspect.signature(Attention.forward).return_annotation
assert isinstance(result, tuple) and len(result) == len(get_args(returns)) == 2
assert isinstance(result[1], tuple) and len(result[1]) == 2

# %% 检验 标注说的，实际都收
from transformers import DynamicCache

for seed in range(3):
    torch.manual_seed(seed)
    layer = Attention(LLMConfig(hidden_size=16, num_attention_heads=4, num_key_value_heads=2))
    x, angle = torch.randn(2, 5, 16), torch.randn(1, 1, 5, 2)
    cos, sin = angle.cos(), angle.sin()
    whole, _ = layer(x, cos, sin)
    see = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    torch.testing.assert_close(layer(x, cos, sin, see)[0], whole)  # None 就是纯因果
    first = (x[:, :3], cos[:, :, :3], sin[:, :, :3])
    last = (x[:, 3:], cos[:, :, 3:], sin[:, :, 3:])
    _, pair = layer(*first)
    cache = DynamicCache()
    layer(*first, past_key_values=cache)
    for past in (pair, cache):  # LayerPast 的两种
        y, (k, v) = layer(*last, past_key_values=past)
        torch.testing.assert_close(y, whole[:, 3:])
        assert k.shape == v.shape == (2, 2, 5, 4)  # (B, K, S, D)

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

# %% 坏 长度为 0 的缓存被换掉
def start(past: Optional[DynamicCache] = None) -> DynamicCache:
    """错的写法：空的 DynamicCache 长度是 0，也算假。"""
    past = past or DynamicCache()
    past.update(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), 0)  # (B, K, S, D)
    return past


given = DynamicCache()
used = start(given)
print("真假:", bool(given), " 用的是给的那个:", used is given)
print("给的里有", given.get_seq_length(), "个词元，用的里有", used.get_seq_length(), "个")

# %% 坏 多了一个逗号
def last_hidden(x: torch.Tensor) -> torch.Tensor:
    """行尾的逗号把返回值变成了元组。"""
    return x,


print(type(last_hidden(torch.ones(2))).__name__)
try:
    last_hidden(torch.ones(2)).shape
except AttributeError as error:
    print("AttributeError:", error)
