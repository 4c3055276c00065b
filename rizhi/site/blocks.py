"""页面上的一块块内容：先是数据，再排成 HTML 或 Markdown；纯函数。"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from rizhi.journal.todo import Todo


class Code(NamedTuple):
    """一小段代码。"""

    text: str


class Struck(NamedTuple):
    """划掉的一段。"""

    parts: tuple["Part", ...]


class Link(NamedTuple):
    """到另一页的链接；`uri` 是那一页的原文相对于 docs 的路径，或网上的地址。

    文字里有代码的，`parts` 是它的各段。
    """

    text: str
    uri: str
    parts: tuple[str | Code | Struck, ...] = ()


class Dim(NamedTuple):
    """补充的话，写得淡一些。"""

    parts: tuple["Part", ...]


Part = str | Code | Struck | Link | Dim


def worded(parts: Iterable[Part]) -> str:
    """一行只留文字。"""
    return "".join(
        part
        if isinstance(part, str)
        else part.text
        if isinstance(part, Code | Link)
        else worded(part.parts)
        for part in parts
    )


@dataclass(frozen=True, slots=True)
class Row:
    """列表的一行：`todo` 是它说的那件事，`when` 是时间线上的日子，`anchor` 好让别处链接到它。"""

    parts: tuple[Part, ...]
    todo: Todo | None = None
    when: Link | None = None
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """一个列表；`kind` 是 list、notes、todos、timeline 或 tags。"""

    rows: tuple[Row, ...]
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class Today:
    """今天：`head` 是那一页与写了多少，还没有这一页是空的；`label` 说下面列的是什么。"""

    head: tuple[Part, ...]
    label: str
    rows: Rows


@dataclass(frozen=True, slots=True)
class Group:
    """一组：名字、列表与补在后面的话。"""

    name: str
    rows: Rows
    more: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Groups:
    """几组列表，够宽就并排。"""

    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """中间折起来的一个列表：头几行、折起的、末几行。"""

    head: Rows
    middle: Rows
    tail: Rows
    label: str


@dataclass(frozen=True, slots=True)
class Heat:
    """热力图：从 first 到 last，每天写了多少字。"""

    words: Mapping[date, int]
    uris: Mapping[date, str]
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Month:
    """一个月的月历：`here` 是所在的这一天，`uri` 是归档里的这个月。"""

    first: date
    uris: Mapping[date, str]
    here: date | None = None
    today: date | None = None
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """前一天、这一周、后一天；周报上是前一周、全部周报、后一周。"""

    earlier: Link | None
    week: Link
    later: Link | None


@dataclass(frozen=True, slots=True)
class Steps:
    """一步步走来的几组页面，每组里的不分先后；没有链接的那一个是本篇。"""

    groups: tuple[tuple[Link | str, ...], ...]


class Node(NamedTuple):
    """图上的一页，与它属于第几组。"""

    link: Link
    group: int


@dataclass(frozen=True, slots=True)
class Graph:
    """先修图：各页、各组的名字，与不成环的边：前序与后继各是第几页。"""

    nodes: tuple[Node, ...]
    groups: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


# 日子的各个总览，哪一页都能互相走到
PLACES = (
    Link("日总结", "daily/index.md"),
    Link("周报", "weekly/index.md"),
    Link("待办", "todos/index.md"),
    Link("时间线", "timeline/index.md"),
    Link("标签", "tags/index.md"),
)

Content = Rows | Today | Groups | Folded | Heat | Month | Trail | Steps | Graph


@dataclass(frozen=True, slots=True)
class Panel:
    """一块：种类用于样式，标题给人看；`note` 是没有内容时、或补在后面的一句话。"""

    kind: str
    title: str
    content: Content
    note: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """一个算出来的页：标题、导语与各节。"""

    title: str
    panels: tuple[Panel, ...]
    lead: tuple[Part, ...] = ()
