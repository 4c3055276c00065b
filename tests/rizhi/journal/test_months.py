"""一个月一个月地过：名字只差一个符号、带单位、互相包含、有子条目的待办，与另记的账本对得上。"""

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest

from rizhi import store
from rizhi.journal import write as writing
from rizhi.journal.todo import still_open
from rizhi.vault import Vault, day_path, find_vault

FIRST = date(2026, 11, 20)  # 一个月跨过新年的文件夹
NAMES = (
    "学 C++|学 C#|学 C|读 1.1 节|读 11 节|读第 1 节|看 x>0 的情形|看 x<0 的情形|看 x 的情形"
    "|学 @property|学 property|把 -1 的含义写清|把 +1 的含义写清|把 1 的含义写清"
    "|跑 5 公里|跑 5.5 公里|跑 55 公里|跑 5 km|写 RoPE|写 rope|写 RoPE 的笔记"
    "|写 RoPE 笔记（第二版）"
    "|`view` 与 `reshape`|a_b 与 ab|读 __init__|读 init|😀 休息|😃 休息|50% 的题|50 的题"
    "|第 3 题|第 33 题|A/B 测试|AB 测试|[看](../../notes/x.md) 掩码|看 mask[:, -1]|看 mask[:, 1]"
    "|买 2*3 的板|买 23 的板|~~先写~~ 再改|再改|算 3:4|算 3：4|≥3 的|≤3 的|#1 号题|2 号题"
).split("|")
MARKS = (" ", " ", " ", "/", "?", "!", ">")
SETTLED = {"x": "done", "-": "dropped"}


@dataclass
class Entry:
    """账上的一件：哪天记下，什么记号，期限，在哪天的计划里，子条目各是什么样。"""

    born: date
    order: int
    mark: str = " "
    due: date | None = None
    planned: date | None = None
    parked: date | None = None
    parent: str = ""
    children: dict[str, str] = field(default_factory=dict)


class Ledger:
    """另记的账：只按名字记，不读任何一页。"""

    def __init__(self) -> None:
        self.open: dict[str, Entry] = {}
        self.orders = 0

    def write(self, name: str, day: date, **given: object) -> None:
        self.orders += 1
        self.open[name] = Entry(day, self.orders, **given)  # type: ignore[arg-type]

    def settle(self, name: str) -> None:
        """了结一件；它的子条目从此自己算。"""
        self.open.pop(name)
        for entry in self.open.values():
            entry.parent = "" if entry.parent == name else entry.parent

    def goals(self, today: date, last: date) -> list[str]:
        """该带上的：计划、七天之内到期的、最早的三件；子条目跟着父条目。"""
        waiting = {n: e for n, e in self.open.items() if not (e.parked and e.parked > today)}
        plan = [n for n, e in waiting.items() if e.planned == last and e.parent not in self.open]
        chosen = sorted(plan, key=lambda n: self.open[n].order)

        def covered() -> set[str]:
            return {*chosen, *(n for n, e in self.open.items() if e.parent in chosen)}

        soon = [n for n, e in waiting.items() if e.due and e.due <= today + timedelta(7)]
        for name in sorted(soon, key=lambda n: (self.open[n].due, self.open[n].order)):
            chosen += [name] if name not in covered() else []
        rest = [n for n, e in waiting.items() if e.parent not in self.open and n not in covered()]
        return chosen + sorted(rest, key=lambda n: self.open[n].order)[:3]


class Owner:
    """一个随手的人：每天新写一页，勾掉、放弃、搁着、手写、手改，偶尔歇几天。"""

    def __init__(self, vault: Vault, seed: int) -> None:
        self.vault, self.rng, self.ledger = vault, random.Random(seed), Ledger()
        self.day, self.last = FIRST, FIRST
        self.settled: set[str] = set()  # 今天了结的

    def month(self) -> Iterator[str]:
        for number in range(30):
            yield from self.morning(number)
            for _ in range(self.rng.randrange(4)):
                self.settle_something()
            self.plan()
            yield from self.evening()
            self.last = self.day
            self.settled.clear()
            self.day += timedelta(self.rng.choice([1, 1, 1, 2, 3]))

    @property
    def page(self) -> Path:
        return day_path(self.vault, self.day)

    def morning(self, number: int) -> Iterator[str]:
        """新的一页带上的，恰好是该带上的；其余的有几件，页里写着。"""
        expected = self.ledger.goals(self.day, self.last) if number else []
        made = writing.create(self.vault, self.day)
        text = self.page.read_text("utf-8")
        goals = text.partition("## 今日目标")[2].partition("\n## ")[0]
        found = [_name(line) for line in re.findall(r"^\d+\. \[.\] (.+)$", goals, re.M)]
        if sorted(found) != sorted(expected):
            yield f"{self.day} 带上了 {found}，该是 {expected}"
            return
        marks = re.findall(r"^\d+\. \[(.)\] .+$", goals, re.M)
        if marks != [self.ledger.open[name].mark for name in found]:
            yield f"{self.day} 记号成了 {marks}"
        below = {n for n, e in self.ledger.open.items() if e.parent in found}
        left = len(self.ledger.open.keys() - set(found) - below)
        said = re.search(r"^另有 (\d+) 件", goals, re.M)
        if (int(said[1]) if said else 0) != left or made.rest != left:
            yield f"{self.day} 该说另有 {left} 件，页里是 {said and said[0]}"
        nested = re.findall(r"^    - \[(.)\] (.+)$", goals, re.M)
        wanted = [(m, c) for n in found for c, m in self.ledger.open[n].children.items()]
        if nested != wanted:
            yield f"{self.day} 子条目是 {nested}，该是 {wanted}"

    def settle_something(self) -> None:
        names = list(self.ledger.open)
        if not names:
            return
        name = self.rng.choice(names)
        entry = self.ledger.open[name]
        if self.rng.random() < 0.2 and not entry.parent:
            until = self.day + timedelta(self.rng.randrange(1, 9))
            made = writing.park(self.vault, self.day, name, until, print)
            assert len(made.candidates) == 1, (name, made)
            entry.parked = entry.due = until
            entry.mark, entry.planned = ">", self.day
            for child in self.ledger.open.values():  # 子条目跟着抄进今天的计划
                child.planned = self.day if child.parent == name else child.planned
            return
        mark = self.rng.choice("xx-")
        made = writing.settle(self.vault, self.day, name, mark, print)
        assert len(made.candidates) == 1, (name, [t.text for t in made.candidates])
        self.ledger.settle(name)
        self.settled.add(name)
        if entry.parent in self.ledger.open:
            self.ledger.open[entry.parent].children[name] = mark

    def plan(self) -> None:
        """在明日计划里手写几件：各种记号，有的有期限，有的有子条目与说明。"""
        # 同一天里已经了结的，再写一次仍算了结：换一件
        free = [n for n in NAMES if n not in self.ledger.open and n not in self.settled]
        self.rng.shuffle(free)
        lines: list[str] = []
        for _ in range(self.rng.randrange(3)):
            name, mark = free.pop(), self.rng.choice(MARKS)
            due = (
                self.day + timedelta(self.rng.randrange(1, 20)) if self.rng.random() < 0.3 else None
            )
            parked = due if mark == ">" else None
            stamp = f" 📅 {due}" if due else ""
            lines.append(f"- [{mark}] {name}{stamp}")
            self.ledger.write(name, self.day, mark=mark, due=due, planned=self.day, parked=parked)
            if self.rng.random() < 0.3:
                child, note = free.pop(), self.rng.choice(["", "    - 先看别人怎么写\n"])
                lines.append(f"{note}    - [ ] {child}")
                self.ledger.write(child, self.day, planned=self.day, parent=name)
                self.ledger.open[name].children[child] = " "
        text = self.page.read_text("utf-8")
        head, tail = text[: text.rindex("## 明日计划")], text[text.rindex("## 明日计划") :]
        tail = tail.replace("- [ ] \n- [ ] \n- [ ] \n", "").rstrip("\n")
        self.page.write_text(f"{head}{tail}\n" + "".join(f"{x}\n" for x in lines), "utf-8")
        self.write_something()

    def write_something(self) -> None:
        text = self.page.read_text("utf-8")
        self.page.write_text(text.replace("## 思考\n\n- \n", "## 思考\n\n- 写了。\n"), "utf-8")

    def evening(self) -> Iterator[str]:
        """开着的恰好是账上开着的，一件不多一件不少，自哪天起也对。"""
        found = {_name(t.text): t.born for t in still_open(writing.history(self.vault).lives)}
        wanted = {name: entry.born for name, entry in self.ledger.open.items()}
        if found != wanted:
            more, less = found.items() - wanted.items(), wanted.items() - found.items()
            yield f"{self.day} 多了 {more}，少了 {less}"


def _name(line: str) -> str:
    """一行里的名字：去掉期限与后缀。"""
    line = re.sub(r"（已顺延[^）]*）|（自 [^）]*）", "", line)
    return re.sub(r" 📅 \d{4}-\d\d-\d\d", "", line).strip()


@pytest.mark.parametrize("months", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_months_agree_with_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, months: int
) -> None:
    # 断电与同时开着的编辑器不是这里要看的
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(store, "_RECENT", 0.0)
    monkeypatch.setattr(store, "_WATCH", 0.0)
    wrong = []
    for seed in range(months):
        root = tmp_path / str(seed)
        (root / "docs/daily").mkdir(parents=True)
        (root / "pyproject.toml").write_text("[tool.rizhi]\n", "utf-8")
        wrong += [f"种子 {seed}：{one}" for one in Owner(find_vault(root), seed).month()]
    assert wrong == []
