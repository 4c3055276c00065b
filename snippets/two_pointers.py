# %% [markdown]
# # 双指针：每走一步，就排除一批候选
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


# %% 相向，不要有序
def most_water(heights: list[int]) -> int:
    """两块板之间最多盛多少水：宽 × 矮的那块高。"""
    left, right, best = 0, len(heights) - 1, 0
    while left < right:
        best = max(best, (right - left) * min(heights[left], heights[right]))
        if heights[left] < heights[right]:
            left += 1  # 左边矮：它配里面的任何一块，都更窄，也不会更高
        else:
            right -= 1
    return best


def rain(heights: list[int]) -> int:
    """一排柱子接得住多少雨水：每格的水面是左右两边最高的里矮的那个。"""
    left, right, low, high, water = 0, len(heights) - 1, 0, 0, 0
    while left <= right:
        low, high = max(low, heights[left]), max(high, heights[right])  # 各自见过的最高
        if low < high:
            water += low - heights[left]  # 右边已有更高的，这一格的水面就是 low
            left += 1
        else:
            water += high - heights[right]
            right -= 1
    return water


print(most_water([1, 8, 6, 2, 5, 4, 8, 3, 7]), rain([0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1]))


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


class Watched(list):
    """一个列表，每读一项就记一笔；交给上面的函数，就知道它们真的走了几步。"""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)

    def __iter__(self):
        return (self[index] for index in range(len(self)))


def reads(run, xs: list, *more) -> int:
    """run 在 xs 上一共读了几项。"""
    watched = Watched(xs)
    run(watched, *more)
    return watched.reads


for n in (10, 100, 1000):
    window, pairs = [], []
    for seed in range(20):
        random.seed(seed)
        xs = [random.randint(0, 9) for _ in range(n)]
        window.append(reads(longest_within, xs, 20))  # 进窗口读一次，出窗口再读一次
        pairs.append(reads(pair_with_sum, sorted(xs), 100))  # 找不到；每步读两头
    print(f"n = {n}：窗口读 {min(window)} 到 {max(window)} 项，相向读 {max(pairs)} 项，", end="")
    print(f"暴力枚举 {n * (n + 1) // 2} 段")


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
rows, empty, least = [], [], []
for seed in range(20):
    random.seed(seed)
    lengths = [random.randint(8, 120) for _ in range(64)]
    rows.append(len(pack_pairs(lengths, 128)))
    empty.append(rows[-1] * 128 - sum(lengths))
    least.append(-(-sum(lengths) // 128))  # 全部首尾相接也要这么多行
print("20 个种子，各 64 条，一行 128 个词元。一行一条: 64 行", end="")
print(f"；两条一箱: {min(rows)} 到 {max(rows)} 行，空着 {min(empty)} 到 {max(empty)} 个")
print(f"行数的下界: {min(least)} 到 {max(least)}")

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
figure.set_label(
    "左图：left 与 right 的和排成上三角，路线从右上角起，一步去掉一行或一列，找到 10；"
    "右图：滑动窗口一步一行，左右两边都只往右"
)

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
    walls = [random.randint(0, 6) for _ in range(n)]  # 没有排序
    areas = [(b - a) * min(walls[a], walls[b]) for a, b in combinations(range(n), 2)]
    assert most_water(walls) == max(areas, default=0)
    surface = [min(max(walls[: i + 1]), max(walls[i:])) for i in range(n)]
    assert rain(walls) == sum(surface) - sum(walls)
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


# %% 检验 走的步数不超过 2n
for seed in range(200):
    random.seed(seed)
    n = random.randint(2, 60)
    xs = [random.randint(0, 9) for _ in range(n)]
    assert n <= reads(longest_within, xs, random.randint(0, 30)) <= 2 * n
    assert reads(longest_distinct, random.choices("abcdef", k=n)) == n
    assert reads(pair_with_sum, sorted(xs), random.randint(0, 20)) <= 2 * (n - 1)
    assert reads(most_water, xs) <= 4 * (n - 1)  # 每步读两头，算面积一次，比高矮一次
    assert reads(rain, xs) == 3 * n  # 每步读两头，再读收下的那一格
    assert reads(unique, sorted(xs)) <= 3 * n
    following = [random.randrange(n) for _ in range(n)]
    assert reads(has_cycle, following, 0) <= 4 * (n + 1)  # 慢的至多走 n 步；每轮读四次
assert reads(longest_within, [9] * 50, 5) == 100  # 个个超过：一进就出，恰好 2n


# %% 检验 自测里的说法
import itertools


def shortest_at_least(xs: list[int], target: int) -> int:
    """正数里，和至少为 target 的最短一段有多长；没有则 0。"""
    left = total = best = 0
    for right, x in enumerate(xs):
        total += x
        while total >= target:  # 合格时收缩，边收缩边更新
            best = min(best or len(xs), right - left + 1)
            total -= xs[left]
            left += 1
    return best


def count_exact(xs: list[int], target: int) -> int:
    """和恰好为 target 的段有几个，数有正有负：前缀和加字典。"""
    seen, total, found = {0: 1}, 0, 0
    for x in xs:
        total += x
        found += seen.get(total - target, 0)
        seen[total] = seen.get(total, 0) + 1
    return found


def longest_two_ends(xs: list[int], limit: int) -> int:
    """有负数、和不超过 limit 的最长一段，O(n)：左端看往前的最高，右端看往后的最低。"""
    sums = [0, *itertools.accumulate(xs)]
    highs = list(itertools.accumulate(sums, max))  # 不减
    lows = list(itertools.accumulate(reversed(sums), min))[::-1]  # 不减
    left = right = best = 0
    while right <= len(xs):
        if lows[right] - highs[left] <= limit:
            best = max(best, right - left)
            right += 1
        else:
            left += 1
            right = max(left, right)
    return best


for seed in range(200):
    random.seed(seed)
    n, target = random.randint(0, 8), random.randint(1, 12)
    for limit in (-target, 0, target):
        mixed = [random.randint(-5, 5) for _ in range(n)]
        fitting = [b - a for a, b in spans(n) if sum(mixed[a:b]) <= limit]
        assert longest_two_ends(mixed, limit) == max(fitting, default=0)
    signed = [random.randint(-4, 6) for _ in range(n)]
    positive = [abs(x) + 1 for x in signed]
    long_enough = [b - a for a, b in spans(n) if sum(positive[a:b]) >= target]
    assert shortest_at_least(positive, target) == min(long_enough, default=0)
    assert count_exact(signed, target) == sum(sum(signed[a:b]) == target for a, b in spans(n))

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

# %% 检验 整个模型，几条一行
from llm import LLMForCausalLM
from llm.model import document_mask

assert document_mask(torch.tensor([[0, 1, 2, 0, 1]]))[0, 0].int().tolist() == [
    [1, 0, 0, 0, 0],
    [1, 1, 0, 0, 0],
    [1, 1, 1, 0, 0],
    [0, 0, 0, 1, 0],  # 第二条从头开始，看不见第一条
    [0, 0, 0, 1, 1],
]
for seed in range(3):
    torch.manual_seed(seed)
    small = LLMConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    model = LLMForCausalLM(small).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)  # 权重大些，漏看才显得出来
    lengths = [random.randint(2, 6) for _ in range(3)]
    rows = [torch.randint(32, (1, n)) for n in lengths]
    restart = torch.tensor([[t for n in lengths for t in range(n)]])
    with torch.no_grad():
        one_row = torch.cat(rows, dim=1)
        packed_logits = model(one_row, position_ids=restart).logits
        wanted = torch.cat([model(row).logits for row in rows], dim=1)
        torch.testing.assert_close(packed_logits, wanted, rtol=1e-4, atol=1e-4)
        assert not model(one_row).logits.allclose(wanted, atol=0.1)  # 位置一路数，就当成一条

# %% 坏 有负数还用滑动窗口
from bisect import bisect_left


def longest_any_sign(xs: list[int], limit: int) -> int:
    """有负数也对：左端只可能在前缀和创新高处（更早、更高的总不比更晚、更低的差），在里面二分。"""
    highs, places, total, best = [0], [0], 0, 0
    for end, x in enumerate(xs, 1):
        total += x
        first = bisect_left(highs, total - limit)  # 要 前缀和[左] ≥ total - limit，越早越好
        if first < len(highs):
            best = max(best, end - places[first])
        if total > highs[-1]:
            highs.append(total)
            places.append(end)
    return best


def brute(xs: list[int], limit: int) -> int:
    """枚举每一段。"""
    return max((b - a for a, b in spans(len(xs)) if sum(xs[a:b]) <= limit), default=0)


signed = [5, -4, 1]
print("窗口:", longest_within(signed, 2), " 暴力:", brute(signed, 2), " 整段之和:", sum(signed))
wrong = []
for seed in range(10):
    random.seed(seed)
    cases = [[random.randint(-5, 5) for _ in range(6)] for _ in range(500)]
    wrong.append(sum(longest_within(case, 2) != brute(case, 2) for case in cases))
    assert all(longest_any_sign(case, 2) == brute(case, 2) for case in cases)
print(f"10 个种子，各随机 500 例：窗口错 {min(wrong)} 到 {max(wrong)} 例，前缀和加二分错 0 例")

# %% 坏 没有排序就相向
print("没排序:", pair_with_sum([3, 9, 8, 1], 11), " 排了序:", pair_with_sum([1, 3, 8, 9], 11))
missed = []
for seed in range(10):
    random.seed(seed)
    tries = [(random.sample(range(20), 6), random.randint(5, 30)) for _ in range(500)]
    have = [(xs, s) for xs, s in tries if any(a + b == s for a, b in combinations(xs, 2))]
    missed.append(sum(pair_with_sum(xs, s) is None for xs, s in have) / len(have))
    assert all(pair_with_sum(sorted(xs), s) for xs, s in have)
print(f"10 个种子，有答案的里面漏掉 {min(missed):.0%} 到 {max(missed):.0%}；排了序一个不漏")


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
