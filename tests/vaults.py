"""测试用的知识库：`tests/sample/` 的副本，配上工具自己的设置与脚本，再写几天日志。

工具的测试都站在它上面：主人写了什么、删了什么、改了什么名字，都与它们无关。
"""

import shutil
from datetime import date, timedelta
from pathlib import Path

from rizhi.vault import Vault, day_path, today

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests/sample"

FIRST = """# {day}　掩码还说不清

## 今日目标

第一个为主线任务

1. [x] 把注意力写完
2. [ ] 复习二叉树

## 今日成果

1. [注意力掩码](../../notes/attention/attention-mask.md)写完了，输出跑过。
2. 健身，40 分钟。

## 思考

- [`masked_fill_`](../../notes/attention/masked-fill.md) 的布尔参数说的是填掉，不是留下。
- 又在 [RoPE](../../notes/attention/rope.md) 卡住：新词元的位置要从缓存的长度算起。

## 遇到的挑战与明日计划

挑战：数据流没有理顺。

明日计划：先重过一遍。

- **【待办】画出前向过程的张量维度图。** 📅 {due}
- [ ] 写一篇笔记

## 今日总结

会用的不算会，画得出来的才算。
"""
SECOND = """# {day}　改形状

## 今日成果

1. [改形状](../../notes/pytorch/tensor-shapes.md)，每个方法
   [手写一个例子](../../notebooks/tensor-shapes.ipynb)。

## 思考

- `view` 报错的时候，想一想步长。

## 今日完成

- [x] 写一篇笔记（自 {before}）

## 明日计划

- [ ] 画出前向过程的张量维度图（已顺延 1 天，自 {before}）
- [ ] {long}
"""
LAST = """# {day}　排序

## 今日成果

1. [sort 与 sorted](../../notes/python/sort-vs-sorted.md) 分清了；
   又看了一遍[掩码](../../notes/attention/attention-mask.md)。

## 思考

- 就地改的都返回 None。

## 明日计划

- [ ] 读一遍归一化
"""
LONG = "把 `scaled_dot_product_attention` 的每一个参数都写一个例子，" * 4


def make(target: Path, last: date | None = None) -> Path:
    """在 `target` 造一个能构建、能测片段的知识库，写过三天，`last` 是最后一天。"""
    shutil.copytree(SAMPLE, target, dirs_exist_ok=True)
    shutil.copy(ROOT / "snippets/conftest.py", target / "snippets/conftest.py")
    shutil.copy(ROOT / "mkdocs.yml", target / "mkdocs.yml")
    write_days(target, last or today(Vault(target)))
    return target


def write_days(root: Path, last: date) -> None:
    """接连的三天，到 `last` 为止。"""
    for ago, template in ((2, FIRST), (1, SECOND), (0, LAST)):
        day = last - timedelta(days=ago)
        words = {"day": day, "before": day - timedelta(days=1), "due": last, "long": LONG}
        write_day(root, day, template.format(**words))


def write_day(root: Path, day: date, text: str) -> Path:
    """手写一天。"""
    path = day_path(Vault(root), day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def days(root: Path) -> list[date]:
    """写过的日子，从早到晚。"""
    return sorted(date.fromisoformat(p.stem) for p in root.glob("docs/daily/*/????-??-??.md"))
