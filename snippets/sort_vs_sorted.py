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

# %% 同名的还有两种
import numpy as np
import torch

array = np.array([3, 1, 2])
print("ndarray.sort():", array.sort(), array.tolist())  # 与列表相同：就地，返回 None
logits = torch.tensor([0.2, 3.0, 1.0])
values, indices = logits.sort(descending=True)  # 张量的 sort 不就地，返回（值, 下标）
print("Tensor.sort():", values.tolist(), indices.tolist(), " 原来的不变:", logits.tolist())

# %% 比了几次
import math
import random


class Counted:
    """一个数，每比一次大小就记一笔。"""

    times = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __lt__(self, other: "Counted") -> bool:
        Counted.times += 1
        return self.value < other.value


def comparisons(values: list[float]) -> int:
    """sorted 排这一串比了多少次。"""
    Counted.times = 0
    sorted(map(Counted, values))
    return Counted.times


n = 1024
shuffled = [comparisons(random.Random(seed).sample(range(n), n)) for seed in range(20)]
print("已有序:", comparisons(list(range(n))), " 全倒序:", comparisons(list(range(n))[::-1]))
print(f"打乱的，20 个种子: {min(shuffled)} 到 {max(shuffled)}，", end="")
print("任何比较排序平均至少 log2(n!) =", math.ceil(math.lgamma(n + 1) / math.log(2)))

# %% 检验 与蛮力相同
import itertools

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

# %% 检验 多级排序与前 k 大
import heapq

words = ["".join(random.choice("abc") for _ in range(random.randint(0, 4))) for _ in range(200)]
one_key = sorted(words, key=lambda w: (-len(w), w))
assert one_key == sorted(sorted(words), key=len, reverse=True)  # 先次要，后主要
for k in range(5):
    assert heapq.nlargest(k, words) == sorted(words, reverse=True)[:k]
assert sorted([1, 2])[-0:] == [1, 2]  # k = 0 时 [-k:] 是全部

# %% 检验 NumPy 与 torch
assert values.equal(logits[indices]) and values.tolist() == sorted(logits.tolist(), reverse=True)
for seed in range(5):
    torch.manual_seed(seed)
    ties = torch.randint(4, (500,))
    order = sorted(range(500), key=lambda i: int(ties[i]))  # Python 的稳定排序
    assert ties.sort(stable=True).indices.tolist() == order
    assert np.argsort(ties.numpy(), kind="stable").tolist() == order
grid = torch.tensor([[3, 1], [2, 4]])
assert grid.sort().values.tolist() == np.sort(grid.numpy()).tolist() == [[1, 3], [2, 4]]  # 沿最后一维

# %% 检验 llm 报错的次序固定
for names in itertools.permutations(["zebra", "apple", "mango"]):
    try:
        LLMConfig(**dict.fromkeys(names, 1))
    except ValueError as error:
        places = [str(error).index(name) for name in ("apple", "mango", "zebra")]
        assert places == sorted(places)
    else:
        raise AssertionError("不认识的字段应当报错")

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
holed = [2.0, float("nan"), 1.0]
print("sorted:", sorted(holed))  # nan 与谁都比不出大小，结果没有排好
print("NumPy: ", np.sort(holed).tolist(), " torch:", torch.tensor(holed).sort().values.tolist())
