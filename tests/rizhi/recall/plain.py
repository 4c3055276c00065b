"""一个小的知识库，源码包是纯 Python 的：默写题在几秒里就出得完。"""

from pathlib import Path

from rizhi.vault import Vault, find_vault

SETTINGS = '[tool.rizhi]\nsource = "shop"\nmutations = ["shop.bugs:BUGS"]\n'
SUMS = '''"""前缀和与购物篮。"""

import random


def running(numbers, start=0):
    """从 `start` 起的前缀和。

    形状：n 个数进，n 个数出。
    """
    total = start
    found = []  # (n,)
    for number in numbers:
        total = total + number
        found.append(total)  # (n,)
    return found


def shuffled(items):
    """打乱的一份拷贝。"""
    made = list(items)
    random.shuffle(made)
    return made


def unused(x):
    """没有片段调用它。"""
    return x + 1


def clipped(x, low=0, high=10):
    """夹在两头之间：片段只问过中间的，改坏了也看不出来。"""
    if x < low:
        return low
    if x > high:
        return high
    return x


def countdown(n):
    """从 n 数到 1。"""
    while n > 0:
        yield n
        n = n - 1


class Basket:
    """一个篮子，至多装 `limit` 件。"""

    def __init__(self, limit=3):
        super().__init__()
        self.limit = limit
        self.items = {}

    def add(self, name, count=1):
        """放进几件；装不下就抛 ValueError。"""
        if self.size() + count > self.limit:
            raise ValueError(name)
        self.items[name] = self.items.get(name, 0) + count
        return self.size()

    def size(self):
        """现在有几件。"""
        return sum(self.items.values())
'''

BUGS = '''"""这个包自己的错。"""

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Bug:
    text: str
    target: str
    broken: Callable


def late(right):
    return lambda numbers, start=0: [start, *right(numbers, start)][:-1]


BUGS = {"late": Bug("前缀和晚了一位", "shop.sums.running", late)}
'''

SNIPPET = """# %% 用一用
from shop.sums import Basket, clipped, countdown, running, shuffled

print(running([1, 2, 3]), running([2], 10), running([]), running((1.5, 2.5)))
basket = Basket()
print(basket.add("梨"), basket.add("枣", 2), basket.items, Basket(5).limit)
print(shuffled(range(8)), list(countdown(3)), clipped(5))

# %% 装不下
try:
    basket.add("瓜")
except ValueError as error:
    print(error)

# %% 检验 每一项减前一项是原来的数
numbers = [3, 1, 4, 1, 5]
sums = running(numbers)
assert [b - a for a, b in zip([0, *sums], sums)] == numbers

# %% 检验 起点整体平移
assert running([1, 2], 10) == [one + 10 for one in running([1, 2])]

# %% 检验 篮子的件数是各样之和
full = Basket(9)
full.add("梨", 4)
full.add("梨", 5)
assert full.items == {"梨": 9} and full.size() == 9
"""

NOTE = """---
title: 前缀和
created: 2026-11-01
snippet: running_sums
---

# 前缀和

## 在 shop 里

```source
shop.sums:running
shop.sums:Basket
shop.sums:shuffled
shop.sums:unused
shop.sums:clipped
shop.sums:countdown
```
"""


def make(root: Path) -> Vault:
    """在 `root` 造一个。"""
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(SETTINGS, "utf-8")
    files = {
        "shop/__init__.py": "",
        "shop/sums.py": SUMS,
        "shop/bugs.py": BUGS,
        "snippets/running_sums.py": SNIPPET,
        "docs/notes/python/running-sums.md": NOTE,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return find_vault(root)
