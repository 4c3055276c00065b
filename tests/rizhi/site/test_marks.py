"""工具自己的记号与 GitHub、Obsidian 的写法，在站点上读得懂：勾选框、删除线、提示框、mermaid。"""

from datetime import date
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from rizhi.htmlpolicy import judge
from rizhi.journal.day import Day
from rizhi.journal.todo import Todo, key, lives, matching, mentions, numbered
from rizhi.markdown import parse
from rizhi.site.blocks import Panel, Row, Rows
from rizhi.site.html import content_html, panels_markdown
from rizhi.site.inline import inline
from rizhi.site.lists import rewritten
from rizhi.site.tasks import Standing, placed, standing
from tests.rizhi.engine import engine
from tests.rizhi.site.test_lists import CASES

ENGINE, DAY = engine(), engine(rizhi_site_lists={"breaks": True})
STATES = next(path for path in CASES if path.stem == "states").read_text("utf-8")


def _html(text: str) -> BeautifulSoup:
    html = ENGINE.reset().convert(text)
    assert not list(judge(html)), text
    return BeautifulSoup(html, "html.parser")


def test_every_state_is_shown_and_read_aloud() -> None:
    boxes = _html(STATES).select(".task-list-item")
    said = [(str(one.span["aria-label"]), one.get_text().strip()) for one in boxes]
    assert said == [
        ("进行中", "写到一半的损失函数"),
        ("改期", "推到下周的模拟"),
        ("待定", "不确定要不要做的整理"),
        ("要紧", "要紧：交作业"),
        ("放弃", "不做了"),
        ("未完成", "划掉一半 还有一半"),
        ("放弃", "整条划掉"),
        ("已完成", "做完的"),
    ]
    assert [one.get_text() for one in _html(STATES)("del")] == ["不做了", "划掉一半", "整条划掉"]
    assert "[/]" not in _html(STATES).get_text() and "~~" not in _html(STATES).get_text()


def test_what_is_dropped_is_struck_out_but_not_its_children() -> None:
    soup = _html("- [-] 不做 `码` **重**\n  - [ ] 还做\n\n- [-] 松的\n\n  又一段\n")
    assert [one.get_text() for one in soup("del")] == ["不做 码 重", "松的"]


def test_a_mark_nobody_agreed_on_is_shown_as_it_is() -> None:
    (box,) = _html('- [*] 甲 "引号"\n').select(".task-list-indicator")
    assert box["title"] == "记号 *"
    assert _html('- ["] 甲\n').select(".task-list-indicator")[0]["data-mark"] == '"'


def test_one_tilde_strikes_nothing_out() -> None:
    soup = _html("周一~周三~周五，H~2~O，~~删掉~~，半~~截~~字\n")
    assert [one.get_text() for one in soup("del")] == ["删掉", "截"] and not soup("sub")


def test_other_engines_read_the_states_as_words() -> None:
    """它们只认 `[ ]` 与 `[x]`。"""
    text = "- [/] 写\n- [-] 不做\n- [ ] ~~划掉~~\n- [√] 做完\n- [ ] 没动\n- 话\n"
    assert rewritten(text).splitlines() == [
        "- [ ] **（进行中）** 写",
        "- [ ] **（放弃）** 不做",
        "- [ ] ~~划掉~~",
        "- [x] 做完",
        "- [ ] 没动",
        "- 话",
    ]


def test_what_is_half_struck_is_struck_in_the_panels_too() -> None:
    todo = Todo("k", "~~甲~~ 乙", "open", (date(2026, 11, 23),), (1, 1))
    rows = Rows((Row(inline("~~甲~~ 乙 ~~丙", "index.md"), todo),), "todos")
    assert "<del>甲</del> 乙 ~~丙" in content_html(rows, "index.md")
    said = panels_markdown([Panel("open", "开着的事", rows)], "index.md")
    assert _html(said)("del")[0].get_text() == "甲" and "乙 ~~丙" in _html(said).get_text()


@pytest.mark.parametrize(
    ("first", "kind", "title"),
    [
        ("[!NOTE]", "note", "说明"),
        ("[!TIP]", "tip", "提示"),
        ("[!IMPORTANT]", "tip", "重要"),
        ("[!WARNING]", "warning", "警告"),
        ("[!CAUTION]", "danger", "当心"),
        ("[!note]", "note", "说明"),
        ("[!Warning] 自定的 *标题*", "warning", "自定的 标题"),
        ("[!todo]", "info", "待办"),
        ("[!faq]", "question", "问题"),
        ("[!没有这种] 标题", "note", "标题"),
    ],
)
def test_an_alert_is_an_admonition(first: str, kind: str, title: str) -> None:
    for markdown in (ENGINE, DAY):
        html = markdown.reset().convert(f"> {first}\n> 正文\n> - [ ] 待办\n")
        (box,) = BeautifulSoup(html, "html.parser").select("div.admonition")
        assert kind in (box.get("class") or [])
        (head,) = box.select(".admonition-title")
        assert head.get_text() == title and box.select(".task-list-item")
        assert "正文" in box.get_text()


@pytest.mark.parametrize(("sign", "opened"), [("-", False), ("+", True)])
def test_a_foldable_alert_is_folded(sign: str, opened: bool) -> None:
    (box,) = _html(f"> [!todo]{sign} 要做的\n> - [/] 甲\n")("details")
    assert box.has_attr("open") == opened and box.select("summary")[0].get_text() == "要做的"
    assert box.select(".task-list-item")


def test_alerts_in_lists_and_side_by_side_stay_apart() -> None:
    soup = _html("- 甲\n\n  > [!TIP]\n  > - [x] 乙\n\n> [!NOTE]\n> 丙\n\n> [!TIP]\n> 丁\n")
    assert [len(one.find_parents("li")) for one in soup.select(".admonition")] == [1, 0, 0]


def test_an_ordinary_quote_stays_a_quote() -> None:
    assert not _html("> 甲\n> [!NOTE]\n\n> \\[!NOTE]\n> 乙\n").select(".admonition")


def test_the_boxes_in_an_alert_are_todos() -> None:
    text = next(path for path in CASES if path.stem == "quotes").read_text("utf-8")
    shown = [one.get_text().strip() for one in _html(text).select(".admonition .task-list-item")]
    assert shown == [item.plain for item in parse(text).items if item.todo][:2]


FENCE = "graph TD\n  A --> B"


@pytest.mark.parametrize(
    "text",
    [
        f"```mermaid\n{FENCE}\n```",
        f"```Mermaid\n{FENCE}\n```",
        f"~~~ mermaid\n{FENCE}\n~~~",
        f"```{{.mermaid}}\n{FENCE}\n```",
        f"``` {{ .mermaid #id }}\n{FENCE}\n```",
        f'```mermaid title="图"\n{FENCE}\n```',
        "- 甲\n\n  ```mermaid\n  graph TD\n    A --> B\n  ```",
        "> ```mermaid\n> graph TD\n>   A --> B\n> ```",
        '!!! note "框"\n    ```mermaid\n    graph TD\n      A --> B\n    ```',
    ],
)
def test_a_mermaid_fence_is_a_harmless_code_block(text: str) -> None:
    """主题见到 `pre.mermaid` 就去别的主机取脚本。"""
    soup = _html(text)
    (code,) = soup.select("pre > code")
    assert code.get_text().strip() == FENCE
    assert not soup.select(".mermaid")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_box_shows_the_present_state_wherever_the_todo_is_written(newline: str) -> None:
    """子条目、续行里的【待办】、Windows 的换行都一样；没有字的框是模板。"""
    text = newline.join(
        ("---", "date: 2026-11-20", "---", "", "# 2026-11-20", "", "## 明日计划", "",
         "- [ ] 甲", "  - [ ] 乙 `x`", "- [ ] 丙", "  【待办】丁", "- [ ]", "- [ ] 戊", "")
    )  # fmt: skip
    day, born = Day(Path("docs/daily/2026/2026-11-20.md"), text), date(2026, 11, 19)
    names = {"甲": "x", "乙x": "-", "丙": "/", "戊": "!"}
    present = {name: Standing(mark, born, name) for name, mark in names.items()}
    options = {"breaks": True, "page": day, "places": placed(day, present)}
    html = engine(rizhi_site_lists=options).convert(day.body.replace("\r\n", "\n"))
    assert not list(judge(html))
    items = BeautifulSoup(html, "html.parser").select(".task-list-item")
    shown = [(str(one.span["data-mark"]), one.get("data-todo")) for one in items]
    numbers = {name: numbered(born, name) for name in names}
    assert shown == [
        ("x", numbers["甲"]), ("-", numbers["乙x"]), ("/", numbers["丙"]),
        (" ", None), ("!", numbers["戊"]),
    ]  # fmt: skip
    assert [one.get_text() for one in BeautifulSoup(html, "html.parser")("del")] == ["乙 x"]


def test_an_item_added_by_another_plugin_moves_no_box() -> None:
    day = Day(Path("docs/daily/2026/2026-11-20.md"), "# 题\n\n- [ ] 甲\n- [ ] 乙\n")
    present = {"乙": Standing("x", date(2026, 11, 19), "乙")}
    options = {"page": day, "places": placed(day, present)}
    html = engine(rizhi_site_lists=options).convert(day.text.replace("- [ ] 甲", "- 新\n- [ ] 甲"))
    items = BeautifulSoup(html, "html.parser").select(".task-list-item")
    assert [one.span["data-mark"] for one in items] == [" ", " "]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_number_of_every_open_box_finds_its_own_todo(path: Path) -> None:
    """别人写的日子：页面上能点的每一个框，点下去就是那一件。"""
    day, at = (
        Day(Path("docs/daily/2026/2026-11-21.md"), path.read_text("utf-8")),
        date(2026, 11, 21),
    )
    every = lives([(at, mentions(day))])
    now = placed(day, {todo.key: standing(todo) for todo in every})
    boxes = {item.number: item for item in day.items if item.todo and item.box >= 0}
    assert now.keys() == boxes.keys()
    for number, found in now.items():
        matched = matching(every, numbered(found.born, found.key))
        assert [todo.key for todo in matched] == [key(boxes[number])] * (found.mark not in "x-")
