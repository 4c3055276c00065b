# %% [markdown]
# # 二叉树：这个节点做什么，向孩子要什么
# 来源：Knuth, *TAOCP* vol. 1, §2.3.1（三种遍历）；Cormen et al., *Introduction to Algorithms*,
# 4th ed., §12.1（二叉搜索树）。这个主题没有对应的 llm 代码，模板自己写，与独立的定义对拍。

# %% 节点
from dataclasses import dataclass


@dataclass
class Node:
    """一个节点；没有孩子就是 None。"""

    value: int
    left: "Node | None" = None
    right: "Node | None" = None


def size(node: Node | None) -> int:
    """模板：空树先答；再问两个孩子；最后加上自己。"""
    if node is None:
        return 0
    return 1 + size(node.left) + size(node.right)


#        1
#      /   \
#     2     3
#    / \     \
#   4   5     6
tree = Node(1, Node(2, Node(4), Node(5)), Node(3, None, Node(6)))
print("节点数:", size(tree), " 空树:", size(None))


# %% 递归
def walk(root: Node | None, when: str) -> list[int]:
    """三种遍历走的路一样，只差什么时候收下自己：孩子之前、之间、之后。"""
    out: list[int] = []

    def visit(node: Node | None) -> None:
        if node is None:
            return
        if when == "前序":
            out.append(node.value)
        visit(node.left)
        if when == "中序":
            out.append(node.value)
        visit(node.right)
        if when == "后序":
            out.append(node.value)

    visit(root)
    return out


for when in ("前序", "中序", "后序"):
    print(when, walk(tree, when))


# %% 迭代
def walk_by_stack(root: Node | None, when: str) -> list[int]:
    """自己管栈；标记 True 表示「该收下了」，False 表示「还要展开」。"""
    out: list[int] = []
    stack: list[tuple[Node | None, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if node is None:
            continue
        if ready:
            out.append(node.value)
            continue
        me, left, right = (node, True), (node.left, False), (node.right, False)
        order = {
            "前序": (me, left, right),
            "中序": (left, me, right),
            "后序": (left, right, me),
        }[when]
        stack.extend(reversed(order))  # 后进先出，所以倒着压
    return out


for when in ("前序", "中序", "后序"):
    print(when, walk_by_stack(tree, when))

# %% 层序
from collections import deque


def levels(root: Node | None) -> list[list[int]]:
    """一层一层；进循环时队列里恰好是一整层。"""
    out: list[list[int]] = []
    queue = deque([root] if root else [])
    while queue:
        out.append([node.value for node in queue])
        for _ in range(len(queue)):
            node = queue.popleft()
            queue.extend(child for child in (node.left, node.right) if child)
    return out


print(levels(tree))


# %% 向孩子要一个数，自己记另一个
def diameter(root: Node | None) -> int:
    """最长路径有几条边。向孩子要「往下最深几层」，答案在拐弯的那个节点上。"""
    best = 0

    def depth(node: Node | None) -> int:
        nonlocal best
        if node is None:
            return 0
        left, right = depth(node.left), depth(node.right)
        best = max(best, left + right)  # 这个节点做什么：当拐弯处试一试
        return 1 + max(left, right)  # 向上交什么：只能选一边

    depth(root)
    return best


print("直径:", diameter(tree))

# %% 父亲往下传一个范围
import math


def is_search_tree(node: Node | None, low: float = -math.inf, high: float = math.inf) -> bool:
    """二叉搜索树：左子树**全部**小于自己，右子树**全部**大于自己。"""
    if node is None:
        return True
    return (
        low < node.value < high
        and is_search_tree(node.left, low, node.value)
        and is_search_tree(node.right, node.value, high)
    )


print(is_search_tree(tree), is_search_tree(Node(4, Node(2, Node(1), Node(3)), Node(6))))


# %% 递归有多深，一层有多宽
import sys
from collections.abc import Callable, Iterator


def deepest(run: Callable[[], object], name: str) -> int:
    """run 里名叫 name 的函数，最多同时有几层没返回。"""
    depth = most = 0

    def watch(frame, event, arg):
        nonlocal depth, most
        if frame.f_code.co_name == name:
            depth += (event == "call") - (event == "return")
            most = max(most, depth)

    sys.setprofile(watch)
    run()
    sys.setprofile(None)
    return most


def full(height: int) -> Node | None:
    """满二叉树：每一层都排满。"""
    return Node(0, full(height - 1), full(height - 1)) if height else None


line = None
for value in range(200):
    line = Node(value, line)
for name, some in {"满的 7 层": full(7), "200 个的链": line}.items():
    calls = {when: deepest(lambda w=when: walk(some, w), "visit") for when in ("前序", "中序", "后序")}
    widest = max(map(len, levels(some)))
    print(f"{name}: {size(some)} 个节点，层数 {len(levels(some))}，最宽的一层 {widest}，递归 {calls}")

# %% 从前序与中序还原
def rebuild(before: list[int], middle: list[int]) -> Node | None:
    """值互不相同。前序的头是根；根在中序里的位置，把左右子树分开。"""
    if not before:
        return None
    cut = middle.index(before[0])
    left = rebuild(before[1 : cut + 1], middle[:cut])
    return Node(before[0], left, rebuild(before[cut + 1 :], middle[cut + 1 :]))


print(rebuild([1, 2, 4, 5, 3, 6], [4, 2, 5, 1, 3, 6]) == tree)

# %% 模块也是一棵树
from torch import nn

from llm import LLMConfig, LLMForCausalLM

model = LLMForCausalLM(
    LLMConfig(
        vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2,
    )
)  # fmt: skip
block = model.model.layers[0].mlp
for name, module in block.named_modules():
    print(repr(name), type(module).__name__)
print("参数名就是从根走下来的路:", next(iter(model.state_dict())))

# %% 图
import matplotlib.pyplot as plt

spots = {1: (3.0, 2), 2: (1.2, 1), 3: (4.8, 1), 4: (0.4, 0), 5: (2.0, 0), 6: (5.6, 0)}
edges = [(1, 2), (1, 3), (2, 4), (2, 5), (3, 6)]
orders = {when: walk(tree, when) for when in ("前序", "中序", "后序")}
orders["层序"] = [value for level in levels(tree) for value in level]
figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.1))
figure.suptitle("圈里是第几个被收下", fontsize=9, y=0.06)
for ax, (when, order) in zip(axes, orders.items(), strict=True):
    for up, down in edges:
        ax.plot(*zip(spots[up], spots[down], strict=True), color="#808080", zorder=1)
    ax.scatter(*zip(*(spots[v] for v in order), strict=True), s=230, color="#3f7fbf", zorder=2)
    for turn, value in enumerate(order, 1):
        style = {"ha": "center", "va": "center", "color": "#ffffff", "fontsize": 9}
        ax.text(*spots[value], turn, **style)
    ax.set(xlim=(-0.4, 6.4), ylim=(-0.5, 2.5), title=when)
    ax.axis("off")
figure.set_label(
    "同一棵六个节点的树画了四遍，圈里是第几个被收下：前序根是 1，中序根是 4，"
    "后序根最后、是 6，层序从上到下数"
)

# %% 检验 三种遍历与路径排序
import random


def grow(count: int) -> Node | None:
    """随机的一棵树，值互不相同。"""
    values = list(range(count))
    random.shuffle(values)

    def build(part: list[int]) -> Node | None:
        if not part:
            return None
        cut = random.randrange(len(part))
        return Node(part[0], build(part[1 : cut + 1]), build(part[cut + 1 :]))

    return build(values)


def paths(node: Node | None, path: str = "") -> dict[int, str]:
    """每个值从根走下来的路：左是 L，右是 R。"""
    if node is None:
        return {}
    left, right = paths(node.left, path + "L"), paths(node.right, path + "R")
    return {node.value: path, **left, **right}


# 旁证：给路的末尾添一个字母，按字典序排。"" < L 是前序；L < M < R 是中序；R < Z 是后序。
ENDINGS = {"前序": "", "中序": "M", "后序": "Z"}
random.seed(0)
for _ in range(300):
    some = grow(random.randint(0, 20))
    road = paths(some)
    for when, end in ENDINGS.items():
        expected = sorted(road, key=lambda value: road[value] + end)
        assert walk(some, when) == walk_by_stack(some, when) == expected
    flat = [value for level in levels(some) for value in level]
    assert flat == sorted(road, key=lambda value: (len(road[value]), road[value]))
    assert size(some) == len(road)
    assert rebuild(walk(some, "前序"), walk(some, "中序")) == some


# %% 检验 每一种形状
def shapes(count: int) -> list[Node | None]:
    """恰好 count 个节点的全部形状。"""
    if count == 0:
        return [None]
    return [
        Node(0, left, right)
        for k in range(count)
        for left in shapes(k)
        for right in shapes(count - 1 - k)
    ]


def label(root: Node | None) -> Node | None:
    """同样的形状，值互不相同。"""
    values = iter(range(100))

    def copy(node: Node | None) -> Node | None:
        return node and Node(next(values), copy(node.left), copy(node.right))

    return copy(root)


for count in range(8):
    every = [label(shape) for shape in shapes(count)]
    assert len(every) == math.comb(2 * count, count) // (count + 1)  # 卡特兰数
    for some in every:
        road = paths(some)
        for when, end in ENDINGS.items():
            expected = sorted(road, key=lambda value: road[value] + end)
            assert walk(some, when) == walk_by_stack(some, when) == expected
        rows: dict[int, list[int]] = {}
        for value in sorted(road, key=lambda value: road[value]):
            rows.setdefault(len(road[value]), []).append(value)
        assert levels(some) == [rows[depth] for depth in range(len(rows))]
        assert size(some) == count
        assert rebuild(walk(some, "前序"), walk(some, "中序")) == some
        height, widest = len(rows), max(map(len, rows.values()), default=0)
        for when in ENDINGS:
            assert deepest(lambda w=when, s=some: walk(s, w), "visit") == height + 1  # 连空的那层
print("每个节点数有几种形状:", [len(shapes(count)) for count in range(8)])


# %% 检验 直径
def graph_diameter(root: Node) -> int:
    """暴力：当成无向图，从每个节点各做一次广搜。"""
    near: dict[int, list[Node]] = {}
    waiting = [root]
    for node in waiting:
        near.setdefault(id(node), [])
        for child in (node.left, node.right):
            if child:
                near[id(node)].append(child)
                near.setdefault(id(child), []).append(node)
                waiting.append(child)
    far = 0
    for start in waiting:
        seen, queue = {id(start): 0}, deque([start])
        while queue:
            node = queue.popleft()
            for other in near[id(node)]:
                if id(other) not in seen:
                    seen[id(other)] = seen[id(node)] + 1
                    queue.append(other)
        far = max(far, *seen.values())
    return far


for some in (*shapes(6), *shapes(7), *(grow(random.randint(1, 14)) for _ in range(200))):
    assert diameter(some) == graph_diameter(some)

# %% 检验 搜索树就是中序递增
import itertools


def walk_nodes(node: Node | None) -> list[Node]:
    """全部节点，次序不论。"""
    return [node, *walk_nodes(node.left), *walk_nodes(node.right)] if node else []


yes = 0
for _ in range(400):
    some = grow(random.randint(0, 5))
    order = walk(some, "中序")
    assert is_search_tree(some) == (order == sorted(order))
    yes += is_search_tree(some)
assert 20 < yes < 380  # 是的与不是的都考到了
assert not is_search_tree(Node(1, Node(1)))  # 相等不算


def allows_equal(node: Node | None, low: float = -math.inf, high: float = math.inf) -> bool:
    """Cormen 等的定义：小于、大于都带等号。"""
    if node is None:
        return True
    return (
        low <= node.value <= high
        and allows_equal(node.left, low, node.value)
        and allows_equal(node.right, node.value, high)
    )


for _ in range(400):
    some = grow(random.randint(0, 5))
    for node in walk_nodes(some):
        node.value //= 2  # 有的相等
    order = walk(some, "中序")
    assert allows_equal(some) == (order == sorted(order))
    assert is_search_tree(some) == all(a < b for a, b in itertools.pairwise(order))
right = 0
for some in map(label, shapes(5)):
    nodes = walk_nodes(some)
    for values in itertools.permutations(range(5)):
        for node, value in zip(nodes, values, strict=True):
            node.value = value
        right += is_search_tree(some)
assert right == len(shapes(5))  # 每种形状恰有一种填法是搜索树


# %% 检验 modules 是前序
from llm.lab.mutations import _parts


def preorder(module: nn.Module) -> list[nn.Module]:
    """自己，再依次走每个孩子；孩子不止两个，模板一样。"""
    return [module, *(below for child in module.children() for below in preorder(child))]


assert all(a is b for a, b in zip(preorder(model), model.modules(), strict=True))
assert "model.layers.0.mlp.gate_proj.weight" in model.state_dict()
for kind in (nn.Linear, nn.Module, nn.Conv1d):
    wanted = tuple(module for module in preorder(model) if isinstance(module, kind))
    assert _parts(model, kind) == wanted
assert len(_parts(model, nn.Linear)) == 2 * 7 + 1 and _parts(model, nn.Conv1d) == ()
twice = nn.ModuleList([block, nn.ModuleList([block])])  # 同一个模块挂了两处
assert len(preorder(twice)) == 2 + 2 * len(preorder(block))
assert len(list(twice.modules())) == 2 + len(preorder(block))  # modules 只列一次


# %% 检验 自测里的说法
def depth_and_diameter(node: Node | None) -> tuple[int, int]:
    """不用 nonlocal：向孩子要一对数。"""
    if node is None:
        return 0, 0
    left, right = depth_and_diameter(node.left), depth_and_diameter(node.right)
    return 1 + max(left[0], right[0]), max(left[1], right[1], left[0] + right[0])


def rebuild_fast(before: list[int], middle: list[int]) -> Node | None:
    """O(n)：字典记位置，传下标不切片。"""
    at = {value: i for i, value in enumerate(middle)}
    coming = iter(before)

    def build(low: int, high: int) -> Node | None:
        if low == high:
            return None
        root = next(coming)
        left = build(low, at[root])
        return Node(root, left, build(at[root] + 1, high))

    return build(0, len(middle))


def with_blanks(node: Node | None) -> list[int | None]:
    """前序，空的孩子写成 None。"""
    if node is None:
        return [None]
    return [node.value, *with_blanks(node.left), *with_blanks(node.right)]


def from_blanks(coming: Iterator[int | None]) -> Node | None:
    """只凭带空位的前序还原。"""
    value = next(coming)
    return None if value is None else Node(value, from_blanks(coming), from_blanks(coming))


leaning = Node(1, Node(2)), Node(1, None, Node(2))  # 前序、后序都相同，却是两棵树
assert all(walk(one, "前序") == [1, 2] and walk(one, "后序") == [2, 1] for one in leaning)
assert leaning[0] != leaning[1]
for count in range(1, 7):
    every = [label(shape) for shape in shapes(count)]  # 前序都是 0、1、2、…
    after = [tuple(walk(some, "后序")) for some in every]
    for some, order in zip(every, after, strict=True):
        lonely = any((node.left is None) != (node.right is None) for node in walk_nodes(some))
        assert (after.count(order) == 1) == (not lonely)  # 有一个独子，就还有别的树
for _ in range(200):
    some = grow(random.randint(0, 14))
    assert depth_and_diameter(some) == (len(levels(some)), diameter(some))
    assert rebuild_fast(walk(some, "前序"), walk(some, "中序")) == some
    for node in walk_nodes(some):
        node.value %= 3  # 值重复也行
    assert from_blanks(iter(with_blanks(some))) == some


# %% 坏 只和孩子比
def only_children(node: Node | None) -> bool:
    """错的写法：只看左孩子、右孩子，不看更深的。"""
    if node is None:
        return True
    left_fine = node.left is None or node.left.value < node.value
    right_fine = node.right is None or node.right.value > node.value
    return left_fine and right_fine and only_children(node.left) and only_children(node.right)


odd = Node(5, Node(2, None, Node(9)), Node(7))  # 9 在 5 的左边
print("只和孩子比:", only_children(odd), " 传范围:", is_search_tree(odd), walk(odd, "中序"))


# %% 坏 空孩子也算一条路
def wrong_shallow(node: Node | None) -> int:
    """错的写法：缺的那个孩子深 0，被当成最浅的叶子。"""
    return 0 if node is None else 1 + min(wrong_shallow(node.left), wrong_shallow(node.right))


def shallow(node: Node | None) -> int:
    """最浅的叶子在第几层：只有一个孩子时，不能选空的那边。"""
    if node is None:
        return 0
    below = [shallow(child) for child in (node.left, node.right) if child]
    return 1 + min(below, default=0)


chain = Node(1, None, Node(2, None, Node(3)))
print("一条链，唯一的叶子在第 3 层:", wrong_shallow(chain), shallow(chain))

# %% 坏 太深的树
root = Node(0)
tail = root
for value in range(1, 20000):
    tail.right = Node(value)
    tail = tail.right
try:
    size(root)
except RecursionError:
    print("递归: RecursionError")
else:
    raise AssertionError("两万层应当超过递归的上限")
print("自己管栈:", len(walk_by_stack(root, "中序")), "个")


# %% 坏 默认值的列表只有一个
def gather(node: Node | None, out: list[int] = []) -> list[int]:  # noqa: B006
    """错的写法：默认值在定义时造一次，每次调用共用。"""
    if node is not None:
        gather(node.left, out)
        out.append(node.value)
        gather(node.right, out)
    return out


print(gather(Node(1)))
print(gather(Node(2)), "← 上一棵树的 1 还在")
