"""勾选框的样子：每种状态一个记号、一句话，由解析的结果写进列表，再变成 HTML。

`Marker` 是写进列表的，Python-Markdown 解析列表之后由 `Tasks` 换掉；导出的 Markdown 用 `plain`。
"""

import re
from collections.abc import Mapping
from datetime import date
from html import escape
from typing import NamedTuple
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.treeprocessors import Treeprocessor

from rizhi.journal.day import Day
from rizhi.journal.todo import Todo, key, numbered
from rizhi.markdown import Item

DONE, DROPPED = "x", "-"
_WORDS = {
    " ": "未完成",
    DONE: "已完成",
    DROPPED: "放弃",
    "/": "进行中",
    ">": "改期",
    "?": "待定",
    "!": "要紧",
}
_OPEN, _CLOSE = "\ue000", "\ue001"  # 私用区的字：他写的文字里没有
_MARKER = re.compile(rf"{_OPEN}(.)([0-9a-f]*){_CLOSE} ?", re.S)


class Standing(NamedTuple):
    """一件事现在如何：框里的记号，与编号的依据。"""

    mark: str
    born: date
    key: str


def standing(todo: Todo) -> Standing:
    """一件事的框：完成的都写成 x，放弃的都写成 -，其余照最近写的。"""
    settled = {"done": DONE, "dropped": DROPPED}
    return Standing(settled.get(todo.state) or todo.mark.strip() or " ", todo.born, todo.key)


def placed(day: Day, present: Mapping[str, Standing]) -> dict[int, Standing]:
    """一天的页面里各条的框该是什么样子，键是条目的 `number`；`present` 的键是文字的判据。"""
    boxes = (item for item in day.items if item.todo and item.box >= 0)
    found = ((item.number, present.get(key(item))) for item in boxes)
    return {number: now for number, now in found if now}


def state(item: Item) -> str:
    """一条的记号：完成的都写成 x，整条划掉的都写成 -，其余照他写的。"""
    if item.state in ("done", "dropped"):
        return DONE if item.state == "done" else DROPPED
    return item.mark if item.mark.strip() else " "


def word(mark: str) -> str:
    """读出来的一个词；没有约定的记号照念。"""
    return _WORDS.get(mark, f"记号 {mark}")


def marker(item: Item, places: Mapping[int, Standing] | None = None) -> str:
    """列表里占位的一个框；`places` 里有的，显示那件事现在的样子，带上编号。"""
    now = (places or {}).get(item.number)
    shown = f"{now.mark}{numbered(now.born, now.key)}" if now else state(item)
    return f"{_OPEN}{shown}{_CLOSE} " if item.box >= 0 else ""


def plain(item: Item) -> str:
    """别的引擎也认得的写法：它们只认 `[ ]` 与 `[x]`，其余的用字说。"""
    if item.box < 0:
        return ""
    mark = state(item)
    box = f"[{DONE if mark == DONE else ' '}] "
    said = mark not in (" ", DONE) and not item.struck
    return f"{box}**（{escape(word(mark))}）** " if said else box


class Tasks(Treeprocessor):
    """占位换成勾选框；排在行内解析之前，放弃的那句话才包得进 `<del>`。"""

    def __init__(self, md: Markdown) -> None:
        super().__init__(md)
        self.markdown = md

    def run(self, root: Element) -> None:
        for parent in root.iter():
            for item in parent:
                if item.tag == "li" and self._boxed(item):
                    _add_class(item, "task-list-item")
                    _add_class(parent, "task-list")

    def _boxed(self, item: Element) -> bool:
        holder = item
        if not (item.text or "").strip() and len(item) and item[0].tag == "p":
            holder = item[0]
        found = _MARKER.match((holder.text or "").lstrip())
        if not found:
            return False
        said = (holder.text or "").lstrip()[found.end() :]
        if found[2]:
            item.set("data-todo", found[2])
        holder.text = self.markdown.htmlStash.store(box(found[1])) + " "
        if found[1] == DROPPED and not said.startswith("~~"):
            struck = Element("del")
            struck.text = said
            holder.insert(0, struck)
        else:
            holder.text += said
        return True


def box(mark: str) -> str:
    """一个框：看得见的由样式按 `data-mark` 画，读屏念 `aria-label`；它不是控件，点不了。"""
    said = escape(word(mark))
    return (
        f'<span class="task-list-indicator" data-mark="{escape(mark)}" role="img"'
        f' aria-label="{said}" title="{said}"></span>'
    )


def _add_class(element: Element, name: str) -> None:
    names = element.get("class", "").split()
    if name not in names:
        element.set("class", " ".join([*names, name]))
