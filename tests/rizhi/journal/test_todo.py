"""待办的一生：同一件事怎么认、期限怎么读、怎么了结。"""

from datetime import date, timedelta
from pathlib import Path

import pytest

from rizhi.journal.day import Day
from rizhi.journal.todo import (
    Todo,
    brief,
    dated,
    due_of,
    dues,
    key_of,
    lives,
    matching,
    mentions,
    shown,
    still_open,
)

D = date(2026, 11, 19)
CASES = Path(__file__).parents[1] / "cases"


def day_of(text: str, on: date = D) -> Day:
    return Day(Path(f"/v/docs/daily/{on:%Y}/{on}.md"), text)


def _lives(*pages: str) -> list[Todo]:
    """从 D 起，一天一页。"""
    written = [(D + timedelta(days=n), page) for n, page in enumerate(pages) if page]
    return lives((on, mentions(day_of(page, on))) for on, page in written)


def _states(*pages: str) -> list[tuple[str, str, int]]:
    return [(brief(t.text), t.state, len(t.days)) for t in _lives(*pages)]


def case(name: str) -> Day:
    """案例里的一天；日期写在它的标题里。"""
    text = (CASES / f"{name}.md").read_text("utf-8")
    return day_of(text, date.fromisoformat(text[2:12]))


# ---- 一件事就是它的字所说的 ----


@pytest.mark.parametrize(
    "text",
    [
        "画出张量维度图",
        "**【待办】画出张量维度图。**",
        "画出 张量维度图！",
        "`画出`张量维度图 📅 2026-11-30",
        "画出张量维度图 📆 2026-1-3",
        "画出张量维度图（🗓️ 2026-11-30）",
        "画出张量维度图 @2026-11-30",
        "画出张量维度图 @明天",
        "画出张量维度图 ✅ 2026-11-20",
        "画出张量维度图（已顺延 4 天，自 2026-11-19）",
        "画出张量维度图(已顺延 4 天，自 2026-11-19；第 3 次了，拆小、排期还是放弃？)",
        "画出张量维度图（自 2026-11-19）",
        "[画出](../../notes/a.md)张量维度图",
        "画出**张量**维度图",
        "~~画出张量维度图~~",
        "画出张量维度图（已顺延 1 天，自 2026-11-19）（自 2026-11-19）",
        "画出\u3000张量\u200b维度图",
    ],
)
def test_one_thing_written_in_many_ways(text: str) -> None:
    assert key_of(text) == "画出张量维度图"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("学 C++", "学 C#"),
        ("学 C++", "学 C"),
        ("读 1.1 节", "读 11 节"),
        ("x>0", "x<0"),
        ("学 @property", "学 property"),
        ("把 -1 的含义写清", "把 +1 的含义写清"),
        ("画图（第二版）", "画图"),
        ("画图1", "画图2"),
        ("🙂", "🙃"),
        ("RoPE", "rope"),
        ("~~划掉一半~~ 还有一半", "还有一半"),
        ("读 a_b", "读 ab"),
        ("读 __init__", "读 init"),
        ("2*3", "23"),
        ("3.5 倍", "35 倍"),
        ("读（自 2026-11-19 起的）日志", "读日志"),
    ],
)
def test_a_sign_makes_another_thing(a: str, b: str) -> None:
    assert key_of(a) != key_of(b)


def test_eleven_plans_that_differ_by_a_sign_are_eleven_todos() -> None:
    day = case("signs")
    assert len({t.key for t in lives([(day.date, mentions(day))])}) == 11


def test_states_of_other_programs_are_open() -> None:
    day = case("states")
    found = {t.text: (t.state, t.mark) for t in lives([(day.date, mentions(day))])}
    assert found == {
        "写到一半的损失函数": ("open", "/"),
        "推到下周的模拟": ("open", ">"),
        "不确定要不要做的整理": ("open", "?"),
        "要紧：交作业": ("open", "!"),
        "不做了": ("dropped", "-"),
        "~~划掉一半~~ 还有一半": ("open", " "),
        "~~整条划掉~~": ("dropped", " "),
        "做完的": ("done", "x"),
    }


def test_notes_under_a_plan_are_no_todos() -> None:
    day = case("children")
    said = [(m.key, m.under) for m in mentions(day)]
    assert said == [
        ("写预训练", ""),
        ("分词", "写预训练"),
        ("读数据", "写预训练"),
        ("复习二叉树第二行接着说：先写模板", ""),
    ]


def test_boxes_in_callouts_are_todos_and_those_in_code_are_text() -> None:
    keys = [m.key for m in mentions(case("quotes"))]
    assert keys == ["引用块里的待办一", "引用块里的待办二", "围栏之后的这一条是"]


# ---- 期限 ----


def test_five_ways_to_write_a_due_date() -> None:
    found = {m.text.partition(" ")[0]: m.due for m in mentions(case("due"))}
    assert list(found.values()) == [date(2026, 11, 30), *(date(2026, 12, n) for n in range(1, 5))]
    assert brief("交表（📅 2026-11-30）") == "交表"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x 📅2026-11-30", date(2026, 11, 30)),
        ("x 🗓️ 2026-11-30", date(2026, 11, 30)),
        ("x @2026-12-1", date(2026, 12, 1)),
        ("x @12-1", date(2026, 12, 1)),
        ("x @明天", D + timedelta(1)),
        ("x @2026-02-30 📅 2026-11-30", date(2026, 11, 30)),
        ("x @2026-02-30", None),
        ("写信给 a@12-1.com", None),
        ("学 @property", None),
        ("读 @3-5-7", None),
        ("学 `@12-1` 的写法", None),
        ("[讲义](讲义@12-1.pdf)", None),
    ],
)
def test_due(text: str, expected: date | None) -> None:
    (item,) = day_of(f"- [ ] {text}\n").items
    assert due_of(day_of(f"- [ ] {text}\n"), item) == expected


def test_a_due_date_that_does_not_exist_is_named() -> None:
    found = dues("x @2026-02-30 📅 2026-11-30", D)
    assert found == [("2026-02-30", None), ("2026-11-30", date(2026, 11, 30))]


def test_a_due_date_in_code_or_in_a_link_is_text() -> None:
    page = Day(
        Path("/v/docs/daily/2026/2026-11-23.md"),
        "## 明日计划\n\n- [ ] `@2026-12-01` 怎么写\n- [ ] [x](a@2026-12-02.md)\n"
        "- [ ] 交表 @2026-12-03\n",
    )
    assert [m.due for m in mentions(page)] == [None, None, date(2026, 12, 3)]


def test_a_near_day_is_written_out_before_it_moves() -> None:
    assert dated("交 @明天，看 @property", D) == "交 @2026-11-20，看 @property"


def test_due_dates_come_first_then_the_oldest() -> None:
    found = still_open(
        _lives("- [ ] 旧的", "- [ ] 后到期 @2026-12-30\n- [ ] 先到期 📅 2026-11-30", "- [ ] 新的")
    )
    assert [brief(t.text) for t in found] == ["先到期", "后到期", "旧的", "新的"]


def test_half_a_strike_stays_whole() -> None:
    assert shown("~~划掉一半~~ 还有一半。") == "~~划掉一半~~ 还有一半"
    assert shown("**【待办】画图。** 📅 2026-11-30") == "【待办】画图 📅 2026-11-30"


# ---- 一生 ----


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


# ---- 按人给的话去找 ----


def test_matching_takes_the_most_exact() -> None:
    found = _lives("- [ ] 画图\n- [ ] 画图并写下\n- [x] 画图纸")
    assert [brief(t.text) for t in matching(found, "画图")] == ["画图"]
    assert [brief(t.text) for t in matching(found, "写下")] == ["画图并写下"]
    assert len(matching(found, "画")) == 2 and matching(found, "没有") == []
    assert matching(found, found[1].id.upper()) == [found[1]]
    assert matching(found, found[1].id[:4]) == [found[1]]


def test_one_of_eleven_is_found_by_its_own_words() -> None:
    day = case("signs")
    found = lives([(day.date, mentions(day))])
    for todo in found:
        assert matching(found, todo.text) == [todo]
    assert [t.text for t in matching(found, "学 c+")] == ["学 C++"]


@pytest.mark.parametrize("wanted", ["", "  ", "\u3000"])
def test_nothing_asked_for_finds_nothing(wanted: str) -> None:
    assert matching(_lives("- [ ] 只有这一件"), wanted) == []


def test_a_parked_line_above_the_goals_still_parks() -> None:
    (one,) = _lives("- [ ] 甲", "- [>] 甲 📅 2026-12-05\n\n## 今日目标\n\n1. [ ] 甲")
    assert one.parked(date(2026, 12, 4)) and not one.parked(date(2026, 12, 5))


@pytest.mark.parametrize("text", ["📅 2026-11-30", "@明天", "……"])
def test_a_thing_without_words_can_still_be_told(text: str) -> None:
    assert brief(text) == shown(text) or brief(text) == text
    (one,) = _lives(f"- [ ] {text}")
    assert matching([one], text) == [one] and brief(one.text)


def test_two_letters_of_an_id_are_too_few() -> None:
    (one,) = _lives("- [ ] 画图")
    assert matching([one], one.id[:3]) == [one] and matching([one], one.id[:2]) == []
