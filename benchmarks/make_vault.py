"""造一个写了十年的知识库：每天一页、每页都有目标、成果、思考与待办，另有笔记与它们之间的链接。

    python benchmarks/make_vault.py 文件夹 [--days 3650] [--notes 2000] [--seed 0]

同样的参数得到同样的字节。待办有生有死：当天写下，顺延几天，勾掉、划掉或一直开着。
笔记都带 `draft: true`：一篇完整的笔记要配一个跑过的片段，那不是这里要量的东西。
"""

import argparse
import random
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

LAST = date(2026, 11, 23)
GROUPS = ("algorithms", "attention", "model", "python", "pytorch", "training")
TOPICS = ("掩码", "旋转位置", "归一化", "门控", "缓存", "分词", "采样", "双指针", "二叉树")
VERBS = ("整理", "画出", "推导", "核对", "重写", "比较", "复习", "测一测")
OBJECTS = ("数据流图", "形状表", "反向传播", "边界情形", "两种写法", "显存", "误差来源", "模板题")
THOUGHTS = (
    "形状是凑对的，不是想明白的，要从头标一遍。",
    "`masked_fill_` 的布尔参数说的是遮住，不是留下，又记反了一次。",
    "先写暴力解，再与快的写法对拍，比盯着代码看有用。",
    "两个归一化各有各的权重，动手写才注意到。",
    "位置要从缓存的长度算起，`logits[:, -1, :]` 的切片也别写错。",
)
HEADINGS = (
    "一句话",
    "为什么需要",
    "定义与形状",
    "在 llm 里",
    "跑一跑",
    "它会怎样坏",
    "自测",
    "来源",
)


@dataclass
class Task:
    """一条待办：写下的那天与还要拖几天。"""

    text: str
    born: date
    left: int


def make_vault(folder: Path, days: int = 3650, notes: int = 2000, seed: int = 0) -> Path:
    """在空文件夹里写出整个知识库，返回它的根。"""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("[tool.rizhi]\nday_ends = 4\n", encoding="utf-8")
    slugs = [_note(folder, number, rng, notes) for number in range(notes)]
    tasks: list[Task] = []
    previous: date | None = None
    for day in _calendar(days, rng):
        path = folder / f"docs/daily/{day:%Y}/{day}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_day(day, previous, tasks, slugs, rng), encoding="utf-8")
        previous = day
    return folder


def _calendar(count: int, rng: random.Random) -> list[date]:
    """从最后一天往回数，偶尔歇一天。"""
    found: list[date] = []
    day = LAST
    while len(found) < count:
        found.append(day)
        day -= timedelta(days=1 if rng.random() < 0.93 else rng.choice((2, 2, 3)))
    return found[::-1]


def _day(
    day: date, previous: date | None, tasks: list[Task], slugs: list[str], rng: random.Random
) -> str:
    goals = [_goal(task, day) for task in tasks]
    done = [task for task in tasks if task.left == 0]
    tasks[:] = [Task(t.text, t.born, t.left - 1) for t in tasks if t.left]  # 负数：一直开着
    born = [_task(day, rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    tasks += born
    up = f"../{previous:%Y}/" if previous and previous.year != day.year else ""
    link = f"上一篇：[{previous}]({up}{previous}.md)\n" if previous else ""
    ends = ((rng.choice(("x", "x", "x", "-")), t) for t in done)
    finished = "\n".join(f"- [{m}] {t.text}（自 {t.born}）" for m, t in ends) or "- [x] 刷题两道"
    plan = "\n".join(f"- **【待办】{t.text}。**" for t in born)
    return f"""---
date: {day}
tags: [{", ".join(rng.sample(TOPICS, 2))}]
---

# {day} 星期{"一二三四五六日"[day.weekday()]}　{rng.choice(TOPICS)}

{link}
## 今日目标

第一个为主线任务

{"".join(f"{n}. [ ] {goal}" + chr(10) for n, goal in enumerate(goals or [""], 1))}
## 主线任务拆解

最终目标：手写一个语言模型

里程碑：{rng.choice(VERBS)}{rng.choice(TOPICS)}

## 今日完成

{finished}

## 今日成果

{_achievements(slugs, rng)}
## 思考

{"".join(f"- {_linked(slugs, rng)} {thought}" + chr(10) * 2 for thought in rng.sample(THOUGHTS, 3))}
## 遇到的挑战与明日计划

挑战：{rng.choice(TOPICS)}还没有消化。

明日计划：{rng.choice(VERBS)}{rng.choice(TOPICS)}的{rng.choice(OBJECTS)}

{plan}

## 今日总结

{rng.choice(THOUGHTS)}{rng.choice(THOUGHTS)}
"""


def _goal(task: Task, day: date) -> str:
    return f"{task.text}（已顺延 {(day - task.born).days} 天，自 {task.born}）"


def _task(day: date, rng: random.Random) -> Task:
    text = f"{rng.choice(VERBS)}{rng.choice(TOPICS)}的{rng.choice(OBJECTS)} {rng.randrange(10**6)}"
    forgotten = rng.random() < 0.001
    return Task(text, day, -1 if forgotten else rng.choice((0, 0, 1, 1, 2, 4)))


def _achievements(slugs: list[str], rng: random.Random) -> str:
    return "".join(
        f"{n}. {rng.choice(TOPICS)}。{rng.choice(VERBS)}了{rng.choice(OBJECTS)}，"
        f"见 {_linked(slugs, rng)}。\n"
        for n in range(1, rng.choice((2, 3, 4)))
    )


def _linked(slugs: list[str], rng: random.Random) -> str:
    if not slugs:
        return rng.choice(TOPICS)
    slug = rng.choice(slugs)
    return f"[{slug.rpartition('/')[2]}](../../notes/{slug}.md)"


def _note(folder: Path, number: int, rng: random.Random, total: int) -> str:
    group = GROUPS[number % len(GROUPS)]
    slug = f"topic-{number}"
    path = folder / f"docs/notes/{group}/{slug}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    other = rng.randrange(total)
    link = f"[前一篇](../{GROUPS[other % len(GROUPS)]}/topic-{other}.md)"
    parts = "".join(f"## {name}\n\n{_paragraph(rng)}\n\n" for name in HEADINGS)
    path.write_text(
        f"---\ntitle: {rng.choice(TOPICS)} {number}\ncreated: {LAST - timedelta(days=number)}\n"
        f"aliases: [别名{number}]\ntags: [{rng.choice(TOPICS)}]\nprereq: []\ndraft: true\n---\n\n"
        f"# {slug}\n\n{link}\n\n{parts}",
        encoding="utf-8",
    )
    return f"{group}/{slug}"


def _paragraph(rng: random.Random) -> str:
    return "".join(rng.sample(THOUGHTS, 3))


def main() -> int:
    """命令行入口。"""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="文件夹")
    parser.add_argument("--days", type=int, default=3650)
    parser.add_argument("--notes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()):
        print(f"{args.folder} 不是空文件夹；没有写任何文件。", file=sys.stderr)
        return 1
    print(make_vault(args.folder, args.days, args.notes, args.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
