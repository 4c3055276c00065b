"""添一行、勾一格、搁一条：只动那一处，页里别的条目、别的字节都照旧。"""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rizhi.errors import RizhiError
from rizhi.journal import edit
from rizhi.journal.day import CANONICAL, CHALLENGE, Day
from rizhi.journal.todo import key, key_of
from tests.rizhi.journal.test_day import days

NEW = "崭新的一行"


def _day(text: str) -> Day:
    return Day(Path("/v/docs/daily/2026/2026-11-23.md"), text)


def _items(text: str) -> Counter[tuple[str, str | None]]:
    return Counter((item.text, item.state) for item in _day(text).items if item.text)


@given(days(), st.sampled_from(CANONICAL))
def test_append_adds_one_item_and_keeps_the_rest(made, name: str) -> None:
    old = made[0]
    new = edit.append(_day(old), name, NEW)
    came = _items(new) - _items(old)
    assert not _items(old) - _items(new) and [text for text, _ in came] == [NEW]
    (where,) = {s.name for s in _day(new).sections for i in s.items if i.text == NEW}
    assert where == name
    end = "\r\n" if "\r\n" in old else "\n"
    lines = Counter(new.split(end)) - Counter(old.split(end))
    assert sum(NEW in line for line in lines) == 1
    assert all(NEW in line or line in ("", f"## {name}") for line in lines)


@given(days())
def test_settle_marks_one_thing_everywhere(made) -> None:
    old = made[0]
    todos = _day(old).todos
    for item in todos:
        new = edit.settle(_day(old), key(item), "x")
        mine = [i for i in todos if key(i) == key(item)]
        if all(i.state in ("done", "dropped") for i in mine):
            assert new is None
            continue
        assert new is not None and len(new) == len(old)
        changed = [n for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        assert set(changed) == {i.box for i in mine if i.state == "open"}
        assert all(new[n] == "x" for n in changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## 思考\n- \n", "## 思考\n- 甲\n"),
        ("## 思考\n\n1. 一\n9. 二\n", "## 思考\n\n1. 一\n9. 二\n10. 甲\n"),
        ("## 思考\n\n- 一\n    - 里\n\n## 健身\n", "## 思考\n\n- 一\n    - 里\n- 甲\n\n## 健身\n"),
        ("## 思考\n散文\n", "## 思考\n散文\n\n- 甲\n"),
        ("## 思考", "## 思考\n\n- 甲"),
        ("## 思考\n## 健身\n", "## 思考\n\n- 甲\n\n## 健身\n"),
        ("", "## 思考\n\n- 甲\n"),
        ("正文", "正文\n\n## 思考\n\n- 甲\n"),
        ("## 思考\n- 一\n\n## 思考\n- \n", "## 思考\n- 一\n\n## 思考\n- 甲\n"),
        ("## 思考\n\n- 一\n\n    第二段\n", "## 思考\n\n- 一\n\n    第二段\n- 甲\n"),
        ("## 思考\n\n- 一\n\n尾声。\n", "## 思考\n\n- 一\n- 甲\n\n尾声。\n"),
        ("## 思考\n\n> - 引用\n", "## 思考\n\n> - 引用\n\n- 甲\n"),
        ("## 思考\n- \n\n## 思考\n- \n", "## 思考\n- 甲\n\n## 思考\n- \n"),
        ("## 思考\n\n- \n    - 子\n", "## 思考\n\n- \n    - 子\n- 甲\n"),
    ],
)
def test_where_the_line_goes(old: str, new: str) -> None:
    assert edit.append(_day(old), "思考", "甲") == new
    crlf = edit.append(_day(old.replace("\n", "\r\n")), "思考", "甲")
    assert crlf.replace("\r\n", "\n") == new


def test_a_section_with_topics_takes_the_line_where_its_own_lines_are() -> None:
    own = "## 思考\n\n- 一\n\n### LLM\n\n- 二\n\n## 健身\n"
    assert edit.append(_day(own), "思考", "甲") == own.replace("- 一\n", "- 一\n- 甲\n")
    none = "## 思考\n\n### LLM\n\n- 二\n\n## 健身\n"
    assert edit.append(_day(none), "思考", "甲") == none.replace("- 二\n", "- 二\n- 甲\n")


@pytest.mark.parametrize(
    "hidden",
    [
        "<!--\n- \n-->\n",
        "```\n- \n```\n",
        "    - \n",
        "````\n```\n- \n````\n",
        "- 讲\n    ~~~\n    - \n    ~~~\n",
    ],
)
def test_the_line_is_never_written_into_code_or_comments(hidden: str) -> None:
    old = f"## 思考\n\n{hidden}"
    new = edit.append(_day(old), "思考", "甲")
    assert hidden in new and [i.text for i in _day(new).items if i.text == "甲"] == ["甲"]


def test_the_challenge_is_written_after_its_label() -> None:
    old = "## 遇到的挑战与明日计划\n\n挑战：\n\n明日计划：\n\n- [ ] \n"
    once = edit.append(_day(old), CHALLENGE, "难")
    assert once == old.replace("挑战：\n", "挑战：难\n", 1)
    twice = edit.append(_day(once), CHALLENGE, "还难")
    assert "挑战：难\n\n- 还难\n\n明日计划：" in twice
    assert "- [ ] 做\n" in edit.append(_day(twice), "明日计划", "做")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("1. 思考", "思考"),
        ("思", "思考"),
        ("成果", "今日成果"),
        ("挑战", CHALLENGE),
        ("想说", "今天想说的话"),
        ("主线", "主线任务拆解"),
        ("健", "健身"),
    ],
)
def test_a_section_is_found_by_a_part_of_its_name(wanted: str, name: str) -> None:
    assert edit.section_named(_day("## 二 .思考\n\n## 健身\n\n跑步\n"), wanted) == name


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("杂", r"没有「杂」.*思考"),
        ("计划", r"不止一节像「计划」：.*、明日计划"),
        ("", "没有"),
    ],
)
def test_a_part_that_names_no_section_or_two_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(RizhiError, match=said):
        edit.append(_day("## 二 .思考\n"), wanted, "甲")


def test_a_label_without_a_bullet_cannot_be_ticked() -> None:
    assert edit.settle(_day("挑战：难。【待办】画图\n"), "画图", "x") is None
    assert edit.settle(_day("1、【待办】画图\n"), "画图", "x") is None
    assert edit.settle(_day("没有\n"), "画图", "x") is None


def test_brackets_in_the_words_are_no_box() -> None:
    text = "- [ ] 修 a[x] 的下标\n"
    assert edit.settle(_day(text), key_of("修 a[x] 的下标"), "-") == "- [-] 修 a[x] 的下标\n"
    label = "- **【待办】看 a[ ] 的下标**\n"
    settled = edit.settle(_day(label), key_of("看 a[ ] 的下标"), "x")
    assert settled == "- [x] **【待办】看 a[ ] 的下标**\n"


def test_parking_what_is_already_in_the_plan_changes_that_line() -> None:
    old = "## 明日计划\n\n- [ ] 画图 📅 2026-11-30\n    - [ ] 先看\n- [ ] 画\n"
    new = edit.park(_day(old), "画图", date(2026, 12, 5))
    assert new == old.replace("[ ] 画图 📅 2026-11-30", "[>] 画图 📅 2026-12-05")
    assert edit.park(_day("## 思考\n\n- [ ] 画图\n"), "画图", date(2026, 12, 5)) is None


PARKED = "画图 📅 2026-12-05"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## 思考\n", f"## 思考\n\n## 明日计划\n\n- [>] {PARKED}\n"),
        ("## 明日计划\n", f"## 明日计划\n\n- [>] {PARKED}\n"),
        ("## 明日计划\n\n一段话。\n", f"## 明日计划\n\n一段话。\n\n- [>] {PARKED}\n"),
        ("## 明日计划\n\n- 看书\n", f"## 明日计划\n\n- 看书\n- [>] {PARKED}\n"),
        ("## 明日计划\n\n- \n", f"## 明日计划\n\n- [>] {PARKED}\n"),
    ],
)
def test_what_is_parked_always_has_its_box(old: str, new: str) -> None:
    assert edit.append(_day(old), "明日计划", PARKED, ">") == new


def test_a_label_without_a_box_is_parked_where_it_stands() -> None:
    old = "## 明日计划\n\n- **【待办】画图。**\n    - 说明\n"
    new = edit.park(_day(old), "画图", date(2026, 12, 5))
    assert new == "## 明日计划\n\n- [>] 画图 📅 2026-12-05\n    - 说明\n"


def test_a_dropped_line_keeps_the_brackets_in_its_words() -> None:
    for old in ("", "## 今日完成\n"):
        new = edit.append(_day(old), "今日完成", "修 a[x] 的下标", "-")
        assert new.rstrip().endswith("\n- [-] 修 a[x] 的下标")


@pytest.mark.parametrize(
    "old",
    [
        "- [ ] \n先看这个\n",  # 填进空条目，就与下面的话连成一条
        "- [ ] \n今日总结\n---\n\n好。\n",  # 下面的标题会变成分隔线
        "- [ ] \n\n      - [ ] 不是\n",  # 缩进的代码会成为它的子条目
        "1. \n\n      - [ ] 不是\n",
    ],
)
def test_a_line_never_joins_what_stands_around_it(old: str) -> None:
    page = _day(f"## 明日计划\n\n{old}")
    text = edit.append(page, "明日计划", "甲")
    before, after = (
        sorted((s.name, i.text) for s in d.sections for i in s.items if i.text)
        for d in (page, _day(text))
    )
    assert after == sorted([*before, ("明日计划", "甲")])
    assert [s.name for s in _day(text).sections] == [s.name for s in page.sections]


@pytest.mark.parametrize("label", ["明日计划：", "明日计划：看书", "明日计划：看书，\n再写"])
def test_a_plan_label_right_below_a_list_takes_the_line(label: str) -> None:
    old = f"## 遇到的挑战与明日计划\n\n- 难\n{label}\n\n## 今日总结\n"
    new = edit.append(_day(old), "明日计划", "甲")
    assert new == old.replace(f"{label}\n", f"{label}\n\n- [ ] 甲\n")


def test_a_child_indented_by_a_tab_is_ticked_where_it_stands() -> None:
    old = "- [ ] 甲\n\t- [ ] 乙\n\t\t- [ ] 丙\n\t- [ ] 丁\n"
    for name in "甲乙丙丁":
        assert edit.settle(_day(old), name, "x") == old.replace(f"[ ] {name}", f"[x] {name}")
