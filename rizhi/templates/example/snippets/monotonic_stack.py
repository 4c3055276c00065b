# %% [markdown]
# # 单调栈：还没等到答案的，按大小排着队
# 来源：Gabow, Bentley & Tarjan, *Scaling and Related Techniques for Geometry Problems*, STOC 1984。

# %% 下一个更大的
def next_greater(xs: list[int]) -> list[int]:
    """每个数右边头一个比它大的在第几个；没有是 -1。"""
    found = [-1] * len(xs)
    waiting: list[int] = []  # 还没等到的各个位置，它们的值从栈底到栈顶不增
    for i, x in enumerate(xs):
        while waiting and xs[waiting[-1]] < x:
            found[waiting.pop()] = i
        waiting.append(i)
    return found


print(next_greater([2, 1, 2, 4, 3]))

# %% 每个位置进一次、出一次
pops = 0
for n in (10, 100, 1000):
    xs = [i * 37 % n for i in range(n)]
    pops = sum(j >= 0 for j in next_greater(xs))
    print(f"n = {n}：出栈 {pops} 次")

# %% 检验 与蛮力相同
from itertools import product


def by_force(xs: list[int]) -> list[int]:
    """逐个往右找。"""
    return [next((j for j in range(i + 1, len(xs)) if xs[j] > xs[i]), -1) for i in range(len(xs))]


for length in range(7):
    for case in product(range(3), repeat=length):
        assert next_greater(list(case)) == by_force(list(case)), case

# %% 检验 两头的极限
assert next_greater([]) == []
assert next_greater([3, 2, 1]) == [-1, -1, -1]  # 一直在降：谁也等不到
assert next_greater([5, 5, 5]) == [-1, -1, -1]  # 相等不算更大


# %% 坏 相等的也弹出
def not_smaller(xs: list[int]) -> list[int]:
    """把 < 写成了 <=：答的是「头一个不小于它的」。"""
    found = [-1] * len(xs)
    waiting: list[int] = []
    for i, x in enumerate(xs):
        while waiting and xs[waiting[-1]] <= x:
            found[waiting.pop()] = i
        waiting.append(i)
    return found


print("对的", next_greater([2, 2, 3]))
print("坏的", not_smaller([2, 2, 3]))
