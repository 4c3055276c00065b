"""待办的一生：同一件事怎么认、怎么顺延、怎么了结，与另写的一个账本对得上。"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rizhi import todo
from rizhi.entry import PLAN, Item, parse
from rizhi.todo import (
    Mention,
    Todo,
    brief,
    due,
    dues,
    goals,
    lives,
    matching,
    mentions,
    normalised,
    still_open,
)

D = date(2026, 11, 19)


def _lives(*pages: str) -> list[Todo]:
    """从 D 起，一天一页。"""
    return lives((D + timedelta(days=n), mentions(page)) for n, page in enumerate(pages) if page)


def _states(*pages: str) -> list[tuple[str, str, int]]:
    return [(brief(t.text), t.state, len(t.days)) for t in _lives(*pages)]


@pytest.mark.parametrize(
    "text",
    [
        "画出张量维度图",
        "**【待办】画出张量维度图。**",
        "画出 张量维度图！",
        "`画出`张量维度图 📅 2026-11-30",
        "画出张量维度图 @2026-11-30",
        "画出张量维度图（已顺延 4 天，自 2026-11-19）",
        "画出张量维度图(已顺延 4 天，自 2026-11-19；第 3 次了，拆小、排期还是放弃？)",
        "画出张量维度图（自 2026-11-19）",
        "[画出](../../notes/a.md)张量维度图",
        "画出__张量__维度图",
        "~~画出张量维度图~~",
        "画出张量维度图（已顺延 1 天，自 2026-11-19）（自 2026-11-19）",
    ],
)
def test_one_thing_written_in_many_ways(text: str) -> None:
    assert normalised(text) == "画出张量维度图"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("RoPE", "rope", True),
        ("ＡＢＣ", "abc", True),
        ("画图（第二版）", "画图", False),
        ("画图1", "画图2", False),
        ("🙂", "🙃", False),
        ("🙂", "🙂 ", True),
    ],
)
def test_what_counts_as_the_same(a: str, b: str, same: bool) -> None:
    assert (normalised(a) == normalised(b)) is same


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (["- [ ] 画图"], [("画图", "open", 1)]),
        (["- [ ] 画图", "1. [ ] 画图（已顺延 1 天，自 2026-11-19）"], [("画图", "open", 2)]),
        (["- [ ] 画图", "- [x] 画图"], [("画图", "done", 2)]),
        (["- [ ] 画图", "- [-] 画图"], [("画图", "dropped", 2)]),
        (["- [ ] 画图", "- [ ] ~~画图~~"], [("画图", "dropped", 2)]),
        (["- [ ] 画图", "- ~~画图~~"], [("画图", "dropped", 2)]),
        (["- ~~一句划掉的话~~"], []),
        (["- **【待办】画图。**"], [("画图", "open", 1)]),
        (["- [ ] 画图\n- [ ] 画图。"], [("画图", "open", 1)]),
        (["1. [ ] 画图\n\n- [x] 画图"], [("画图", "done", 1)]),
        (["- [ ] 画图", "没有提", "1. [ ] 画图"], [("画图", "open", 2)]),
        (["- [ ] 画图", "删掉了那一行"], [("画图", "open", 1)]),
        (["- [x] 画图", "- [ ] 画图"], [("画图", "done", 1), ("画图", "open", 1)]),
        (["- [x] 跑步", "- [x] 跑步"], [("跑步", "done", 1), ("跑步", "done", 1)]),
        (["- [ ] ", "- [ ]", "1. [ ] "], []),
    ],
)
def test_a_life(pages: list[str], expected: list[tuple[str, str, int]]) -> None:
    assert _states(*pages) == expected


def test_age_birth_and_place_of_a_carried_item() -> None:
    (one,) = _lives("# 题\n\n- [ ] 画图", "", "", "1. [ ] 画图（已顺延 3 天，自 2026-11-19）")
    assert (one.born, one.last, one.carried, one.lines) == (D, D + timedelta(3), 1, (3, 1))
    assert one.age(date(2026, 11, 23)) == 4
    assert len(one.id) == 6 and int(one.id, 16) >= 0
    again = _lives("- [ ] **画图**", "- [ ] 画图")[0]
    assert one.id == again.id != _lives("", "- [ ] 画图")[0].id


def test_due_dates_come_first_then_the_oldest() -> None:
    found = still_open(
        _lives("- [ ] 旧的", "- [ ] 后到期 @2026-12-30\n- [ ] 先到期 📅 2026-11-30", "- [ ] 新的")
    )
    assert [brief(t.text) for t in found] == ["先到期", "后到期", "旧的", "新的"]
    assert due("x 📅2026-11-30") == date(2026, 11, 30) and due("x @2026-02-30") is None
    assert dues("x @2026-02-30 📅 2026-11-30", date(2026, 11, 23)) == [
        ("2026-02-30", None),
        ("2026-11-30", date(2026, 11, 30)),
    ]


def test_matching_takes_the_most_exact() -> None:
    found = _lives("- [ ] 画图\n- [ ] 画图并写下\n- [x] 画图纸")
    assert [brief(t.text) for t in matching(found, "画图")] == ["画图"]
    assert [brief(t.text) for t in matching(found, "写下")] == ["画图并写下"]
    assert len(matching(found, "画")) == 2 and matching(found, "没有") == []
    assert matching(found, found[1].id.upper()) == [found[1]]


def test_goals_say_birth_and_age_and_ask_after_three_times() -> None:
    opened = still_open(_lives("- [ ] 画图", "- [ ] 画图", "- [ ] 画图\n- **【待办】写笔记。**"))
    plan = [i for s in parse("## 明日计划\n- 复习\n- [ ] 画图").section(PLAN) for i in s.items]
    assert goals(plan, opened, date(2026, 11, 23)) == [
        "复习",
        "画图（已顺延 4 天，自 2026-11-19；第 3 次了，拆小、排期还是放弃？）",
        "【待办】写笔记（已顺延 2 天，自 2026-11-21）",
    ]


def test_what_was_planned_for_today_is_not_carried() -> None:
    page = "## 明日计划\n- [ ] 复习\n"
    plan = parse(page).section(PLAN)[0].items
    assert goals(plan, still_open(_lives(page)), D + timedelta(1)) == ["复习"]


# ---- 几个月的日子，与一本另记的账对照 ----


@dataclass
class Ledger:
    """另记的账：开着的每件事见于哪几天；了结的一律不再管。"""

    opened: dict[str, list[date]] = field(default_factory=dict)

    def see(self, text: str, day: date) -> None:
        days = self.opened.setdefault(text, [])
        if not days or days[-1] != day:
            days.append(day)


def _month(rng: random.Random, days: int) -> Iterator[tuple[date, str, Ledger, list[str]]]:
    """一天天过：目标由 `goals` 填，人随手勾掉、划掉、删掉、不管，再写下新的。"""
    ledger = Ledger()
    pages: list[tuple[date, list[Mention]]] = []
    plan: list[Item] = []
    for n in range(days):
        day = D + timedelta(days=n)
        if rng.random() < 0.2:  # 歇一天
            continue
        made = goals(plan, still_open(lives(pages)), day)
        lines = ["# 题", "", "## 今日目标", ""]
        for goal in made:
            name = brief(goal)
            action = rng.choice(["keep", "keep", "done", "drop", "strike", "delete"])
            if action == "delete":
                continue
            box = {"done": "[x]", "drop": "[-]"}.get(action, "[ ]")
            lines.append(f"1. {box} " + (f"~~{goal}~~" if action == "strike" else goal))
            if action == "keep":
                ledger.see(name, day)
            else:
                ledger.opened.pop(name, None)
        lines += ["", "## 明日计划", ""]
        for name in {f"事{rng.randrange(12)}" for _ in range(rng.randrange(3))}:
            # 同一天里已经勾掉的，再写一次仍算勾掉：换一件
            if not any(name == brief(goal) for goal in made):
                lines.append(rng.choice([f"- [ ] {name}", f"- **【待办】{name}。**"]))
                ledger.see(name, day)
        text = "\n".join(lines)
        pages.append((day, mentions(text)))
        plan = [i for s in parse(text).section(PLAN) for i in s.items if i.text]
        yield day, text, ledger, made


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_lineage_over_months_agrees_with_a_ledger(seed: int) -> None:
    pages = []
    for day, text, ledger, made in _month(random.Random(seed), 90):
        pages.append((day, mentions(text)))
        found = still_open(lives(pages))
        assert {brief(t.text): list(t.days) for t in found} == ledger.opened
        keys = [normalised(line) for line in made]
        assert len(keys) == len(set(keys))  # 同一件事在目标里只出现一次
        assert len({t.id for t in found}) == len(found)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_carrying_over_is_idempotent(seed: int) -> None:
    """目标抄进新的一页之后，再从那一页算目标，还是那些事，一件不多一件不少。"""
    pages: list[tuple[date, list[todo.Mention]]] = []
    for day, text, _, _ in _month(random.Random(seed), 40):
        pages.append((day, mentions(text)))
    day = pages[-1][0] + timedelta(1)
    first = goals([], still_open(lives(pages)), day)
    page = "\n".join(f"1. [ ] {line}" for line in first)
    again = goals([], still_open(lives([*pages, (day, mentions(page))])), day)
    assert [normalised(a) for a in again] == [normalised(b) for b in first]
    before = {t.key: t.born for t in still_open(lives(pages))}
    after = {t.key: t.born for t in still_open(lives([*pages, (day, mentions(page))]))}
    assert before == after
