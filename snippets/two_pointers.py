# %% [markdown]
# # 双指针：每走一步，就永远丢掉一批候选
# 来源：Cormen et al., *Introduction to Algorithms*, 4th ed., §2.1（循环不变式）；Knuth, *TAOCP*
# vol. 2, §3.1 习题 6（Floyd 判圈）。这个主题没有对应的 llm 代码，模板自己写，与暴力法对拍。

# %% 相向
def pair_with_sum(xs: list[int], target: int) -> tuple[int, int] | None:
    """升序的 xs 里找两个不同的位置，和为 target；没有则 None。"""
    left, right = 0, len(xs) - 1
    while left < right:
        total = xs[left] + xs[right]
        if total == target:
            return left, right
        if total < target:
            left += 1  # xs[left] 配上剩下最大的都不够，配谁都不够：丢掉它
        else:
            right -= 1  # xs[right] 配上剩下最小的都太大：丢掉它
    return None


print(pair_with_sum([1, 3, 4, 6, 8, 11], 14), pair_with_sum([1, 3, 4, 6, 8, 11], 13))


# %% 快慢
def unique(xs: list[int]) -> int:
    """升序的 xs 就地去重，返回剩下几个；前缀 xs[:slow] 永远是已经整理好的。"""
    slow = 0
    for fast in range(len(xs)):
        if slow == 0 or xs[fast] != xs[slow - 1]:
            xs[slow] = xs[fast]
            slow += 1
    return slow


def has_cycle(following: list[int], start: int) -> bool:
    """沿着 following 一直走，会不会进圈；-1 是终点。快的每次走两步，有圈必被追上。"""
    slow = fast = start
    while fast != -1 and following[fast] != -1:
        slow, fast = following[slow], following[following[fast]]
        if slow == fast:
            return True
    return False


items = [1, 1, 2, 5, 5, 5]
kept = unique(items)
print(kept, items[:kept])
print(has_cycle([1, 2, 3, 1], 0), has_cycle([1, 2, 3, -1], 0))


# %% 滑动窗口
def longest_within(xs: list[int], limit: int) -> int:
    """非负的 xs 里，和不超过 limit（≥ 0）的最长一段有多长。"""
    left = total = best = 0
    for right, x in enumerate(xs):
        total += x  # 右边进
        while total > limit:
            total -= xs[left]  # 左边出，直到窗口合格
            left += 1
        best = max(best, right - left + 1)
    return best


def longest_distinct(text: str) -> int:
    """没有重复字符的最长一段有多长。"""
    left = best = 0
    seen: dict[str, int] = {}
    for right, letter in enumerate(text):
        left = max(left, seen.get(letter, -1) + 1)  # 只能往右，不能退回去
        seen[letter] = right
        best = max(best, right - left + 1)
    return best


print(longest_within([3, 1, 2, 1, 4], 5), longest_distinct("abba"), longest_distinct("日知其日"))

# %% 走了几步
import random


def steps(xs: list[int], limit: int) -> int:
    """滑动窗口里两个指针一共走了几步。"""
    left = total = moved = 0
    for x in xs:
        total, moved = total + x, moved + 1
        while total > limit:
            total, left, moved = total - xs[left], left + 1, moved + 1
    return moved


random.seed(0)
for n in (10, 100, 1000):
    moved = steps([random.randint(0, 9) for _ in range(n)], 20)
    print(f"n = {n}: 窗口 {moved} 步，暴力 {n * (n + 1) // 2} 段")


# %% 装箱
def pack_pairs(lengths: list[int], room: int) -> list[list[int]]:
    """每箱至多两条序列、总长不超过 room，箱数最少；返回每箱的下标。

    异常：有一条比箱子还长，抛 ValueError。
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    if order and lengths[order[-1]] > room:
        raise ValueError(f"第 {order[-1]} 条长 {lengths[order[-1]]}，超过箱子的 {room}；先截短。")
    boxes, left, right = [], 0, len(order) - 1
    while left <= right:  # 等号：最后可能剩一条，它自己一箱
        box = [order[right]]  # 最长的总要占一箱
        if left < right and lengths[order[left]] + lengths[order[right]] <= room:
            box.append(order[left])  # 带得上最短的就带
            left += 1
        right -= 1
        boxes.append(box)
    return boxes


print(pack_pairs([5, 2, 7, 3, 6], 8))
lengths = [random.randint(8, 120) for _ in range(64)]
boxes = pack_pairs(lengths, 128)
for name, rows in (("一行一条", 64), ("两条一箱", len(boxes))):
    print(f"{name}: {rows} 行，填充 {rows * 128 - sum(lengths)} 个词元")
print("箱数的下界（全部首尾相接）:", -(-sum(lengths) // 128))

# %% 图
import matplotlib.pyplot as plt

xs, target = [1, 3, 4, 6, 8, 11, 13], 10
path, left, right = [(0, len(xs) - 1)], 0, len(xs) - 1
while left < right and xs[left] + xs[right] != target:
    left, right = (left + 1, right) if xs[left] + xs[right] < target else (left, right - 1)
    path.append((left, right))
figure, (grid, walk) = plt.subplots(1, 2, figsize=(7.2, 3.0))
for low in range(len(xs)):
    for high in range(low + 1, len(xs)):
        total = xs[low] + xs[high]
        color = "#3f7fbf" if total < target else "#d9822b" if total > target else "#3a9b5c"
        grid.add_patch(plt.Rectangle((high - 0.46, low - 0.46), 0.92, 0.92, color=color, alpha=0.6))
        grid.text(high, low, total, ha="center", va="center", fontsize=8, color="#202020")
grid.plot([high for _, high in path], [low for low, _ in path], color="#8a4fbf", lw=9, alpha=0.35)
grid.set(xlim=(0.4, 6.6), ylim=(5.6, -0.6), xlabel="right", ylabel="left", aspect="equal")
grid.set_title(f"相向：找和 {target}，一步去掉一行或一列", fontsize=9)
window, left, total = [3, 1, 2, 1, 4, 1, 1, 5, 2], 0, 0
edges = []
for x, value in enumerate(window):
    total += value
    while total > 5:
        total, left = total - window[left], left + 1
    edges.append((left, x))
for step, (low, high) in enumerate(edges):
    walk.barh(step, high - low + 1, left=low - 0.5, color="#3f7fbf", alpha=0.8, height=0.7)
walk.set(xlabel="下标", ylabel="第几步", ylim=(8.6, -0.6), xticks=range(9), yticks=range(0, 9, 2))
walk.set_title("滑动窗口：左右两边都只往右", fontsize=9)
figure.tight_layout()

# %% 检验 与暴力法对拍
from itertools import combinations


def spans(n: int) -> list[tuple[int, int]]:
    """所有非空的段 [low, high)。"""
    return list(combinations(range(n + 1), 2))


random.seed(1)
found = 0
for _ in range(500):
    n = random.randint(0, 8)
    xs = sorted(random.randint(-5, 9) for _ in range(n))
    target, limit = random.randint(-6, 15), random.randint(0, 12)
    got = pair_with_sum(xs, target)
    sums = {xs[i] + xs[j] for i, j in combinations(range(n), 2)}
    assert (got is not None) == (target in sums)
    if got is not None:
        found += 1
        assert got[0] < got[1] and xs[got[0]] + xs[got[1]] == target
    copy = list(xs)
    assert copy[: unique(copy)] == sorted(set(xs))
    positive = [abs(x) for x in xs]
    random.shuffle(positive)
    fits = [b - a for a, b in spans(n) if sum(positive[a:b]) <= limit]
    assert longest_within(positive, limit) == max(fits, default=0)
    text = "".join(random.choice("abcd") for _ in range(n))
    plain = [b - a for a, b in spans(n) if len(set(text[a:b])) == b - a]
    assert longest_distinct(text) == max(plain, default=0)
    following = [random.randrange(-1, n) for _ in range(n)]
    if n:
        at, visited = 0, set()
        while at != -1 and at not in visited:  # 暴力：记下走过的
            visited.add(at)
            at = following[at]
        assert has_cycle(following, 0) == (at != -1)
assert 50 < found < 450  # 找得到与找不到的都考到了


# %% 检验 装箱最少
def fewest(lengths: list[int], room: int) -> int:
    """暴力：第一条要么独占一箱，要么与后面的某一条同箱。"""
    if not lengths:
        return 0
    head, *rest = lengths
    options = [
        rest,
        *(rest[:k] + rest[k + 1 :] for k in range(len(rest)) if head + rest[k] <= room),
    ]
    return 1 + min(fewest(left_over, room) for left_over in options)


for _ in range(200):
    some = [random.randint(1, 10) for _ in range(random.randint(0, 7))]
    packed = pack_pairs(some, 10)
    assert len(packed) == fewest(some, 10)
    assert sorted(i for box in packed for i in box) == list(range(len(some)))
    assert all(len(box) <= 2 and sum(some[i] for i in box) <= 10 for box in packed)
try:
    pack_pairs([3, 11], 10)
except ValueError as error:
    print(error)
else:
    raise AssertionError("比箱子还长的应当报错")

# %% 检验 装在一箱里，结果不变
import torch

from llm import LLMConfig
from llm.model import Attention, RotaryEmbedding, causal_mask

torch.manual_seed(0)
config = LLMConfig(hidden_size=16, num_attention_heads=4, num_key_value_heads=2)
layer, rope = Attention(config), RotaryEmbedding(config)
documents = [torch.randn(1, n, 16) for n in (5, 3)]  # 两条序列，(1, T, C)


def attend(x: torch.Tensor, positions: list[int], mask: torch.Tensor) -> torch.Tensor:
    """一层注意力，位置与掩码都由外面给。"""
    cos, sin = rope(torch.tensor([positions]), x.dtype)
    return layer(x, cos, sin, mask)[0]


alone = [attend(x, list(range(x.shape[1])), causal_mask(x.shape[1])) for x in documents]
packed_x = torch.cat(documents, dim=1)  # (1, 8, C)
owner = torch.tensor([0] * 5 + [1] * 3)
same = owner[:, None] == owner  # (T, S)：同一条序列的才看得见
positions = [*range(5), *range(3)]
together = attend(packed_x, positions, causal_mask(8) & same)
torch.testing.assert_close(together, torch.cat(alone, dim=1))
shifted = attend(packed_x, list(range(8)), causal_mask(8) & same)  # 位置一路数到底
torch.testing.assert_close(shifted, together)  # RoPE 只看位置之差
leaky = attend(packed_x, positions, causal_mask(8))  # 只有因果掩码
torch.testing.assert_close(leaky[:, :5], alone[0])
assert not leaky[:, 5:].allclose(alone[1], atol=1e-3)  # 第二条看见了第一条

# %% 坏 有负数还用滑动窗口
signed = [5, -4, 1]
fits = [b - a for a, b in spans(3) if sum(signed[a:b]) <= 2]
print("窗口:", longest_within(signed, 2), " 暴力:", max(fits), " 整段之和:", sum(signed))
wrong = 0
for _ in range(1000):
    signed = [random.randint(-5, 5) for _ in range(6)]
    fits = [b - a for a, b in spans(6) if sum(signed[a:b]) <= 2]
    wrong += longest_within(signed, 2) != max(fits, default=0)
print(f"随机 1000 例，错 {wrong} 例")

# %% 坏 没有排序就相向
print("没排序:", pair_with_sum([3, 9, 8, 1], 11), " 排了序:", pair_with_sum([1, 3, 8, 9], 11))


# %% 坏 等号与退回去
def same_twice(xs: list[int], target: int) -> tuple[int, int] | None:
    """错的写法：left <= right，一个数用了两次。"""
    left, right = 0, len(xs) - 1
    while left <= right:
        total = xs[left] + xs[right]
        if total == target:
            return left, right
        left, right = (left + 1, right) if total < target else (left, right - 1)
    return None


def goes_back(text: str) -> int:
    """错的写法：left 直接跳到上次出现的后面，可能往左退。"""
    left = best = 0
    seen: dict[str, int] = {}
    for right, letter in enumerate(text):
        left = seen.get(letter, left - 1) + 1
        seen[letter] = right
        best = max(best, right - left + 1)
    return best


print("[1, 3] 找和 6:", same_twice([1, 3], 6), " 对的:", pair_with_sum([1, 3], 6))
print("abba:", goes_back("abba"), " 对的:", longest_distinct("abba"))
