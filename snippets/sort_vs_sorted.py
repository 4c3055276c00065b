# %% [markdown]
# # xx.sort() 与 sorted(xx)
# 来源：Python 文档《排序的技术》与 `list.sort`；PyTorch 文档 `torch.sort`

# %% 两种
numbers = [3, 1, 2]
print(sorted(numbers), numbers)  # 新列表，原来的不变
print(numbers.sort(), numbers)  # 就地排，返回 None

# %% 谁能排
print(sorted((3, 1, 2)), sorted("cab"), sorted({"b": 1, "a": 2}))
print(hasattr((3, 1), "sort"), hasattr({1}, "sort"))

# %% key 与稳定
lengths = [("a", 5), ("b", 2), ("c", 5), ("d", 2)]
print(sorted(lengths, key=lambda pair: pair[1]))  # 同样长的保持原来的先后
print(sorted(lengths, key=lambda pair: pair[1], reverse=True))  # 倒序也保持
print(sorted(lengths, key=lambda pair: (-pair[1], pair[0])))  # 先长后名

# %% llm 里
from llm.config import LLMConfig

try:
    LLMConfig(zebra=1, apple=2)  # 不认识的字段排好序再报
except ValueError as error:
    print(error)

# %% torch.sort 是第三种
import torch

logits = torch.tensor([0.2, 3.0, 1.0])
values, indices = torch.sort(logits, descending=True)  # 返回两个张量，logits 不变
print(values.tolist(), indices.tolist())
print(logits.sort() is None, type(logits.sort()).__name__)

# %% 检验 与蛮力相同
import itertools
import random

random.seed(0)
for _ in range(200):
    items = [random.randint(0, 9) for _ in range(random.randint(0, 6))]
    before = list(items)
    new = sorted(items)
    assert items == before and new is not items
    assert tuple(new) == min(itertools.permutations(items))  # 所有排列里字典序最小的
    alias = items
    assert items.sort() is None and alias == new  # 别名也跟着变

# %% 检验 稳定
pairs = [(random.randint(0, 3), number) for number in range(100)]
by_first = sorted(pairs, key=lambda pair: pair[0])
assert by_first == sorted(pairs)  # 第二项本就递增，稳定排序等于按整对排
again = sorted(pairs, key=lambda pair: pair[0], reverse=True)
assert all(a[0] > b[0] or (a[0] == b[0] and a[1] < b[1]) for a, b in itertools.pairwise(again))

# %% 检验 torch
assert values.equal(logits[indices]) and values.tolist() == sorted(logits.tolist(), reverse=True)

# %% 坏 接住了 None
data = [3, 1, 2]
ranked = data.sort()
print(ranked)
try:
    ranked[0]
except TypeError as error:
    print("TypeError:", error)

# %% 坏 就地排了别人的列表
def median(samples: list[int]) -> int:
    """错的写法：调用者的列表被打乱了顺序。"""
    samples.sort()
    return samples[len(samples) // 2]


losses = [5, 1, 4]  # 按步数记的损失
print(median(losses), losses)

# %% 坏 排不了的混合
try:
    sorted([3, "1", 2])
except TypeError as error:
    print("TypeError:", error)
print(sorted([2.0, float("nan"), 1.0]))  # nan 与谁都比不出大小，结果没有排好
