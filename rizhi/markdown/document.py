"""解析的结果：标题、条目、链接、代码，各带原文里的字符位置；纯数据。"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

_DONE, _DROPPED = frozenset("xX√✓✔"), "-"
_STOPS = "，。；：、！？（「》」）"
_NEWLINE = re.compile(r"\r\n?|\n")
_SAID = frozenset(("paragraph", "code", "html", "cell", "heading"))


class Heading(NamedTuple):
    """一个标题；`text` 去掉了标记，`nested` 是写在引用、列表或容器里的，它不分节。"""

    level: int
    text: str
    start: int
    end: int
    nested: bool
    setext: bool


class Item(NamedTuple):
    """一个列表条目。

    `start` 是记号的位置，`body` 到 `end` 是它自己的第一段（不含勾选框），`last` 连同子条目。
    `box` 是方括号里那个字符的位置，没有勾选框时是 -1。`text` 是第一段的原文接成一行，
    `plain` 再去掉标记；只划掉一半的，划线照留。`parent` 是父条目的 `number`，没有是 -1。
    """

    number: int
    parent: int
    depth: int
    start: int
    body: int
    end: int
    last: int
    marker: str
    box: int = -1
    mark: str = ""
    text: str = ""
    plain: str = ""
    struck: bool = False
    loose: bool = False
    labelled: bool = False  # 由读日总结的人填：第一行写了【待办】

    @property
    def todo(self) -> bool:
        """是不是要做的事：有勾选框，或写了【待办】；没有字的勾选框是模板。"""
        return bool(self.plain) and (self.box >= 0 or self.labelled)

    @property
    def state(self) -> str | None:
        """open、done、dropped；既没有勾选框也没有划掉，是 None。"""
        if self.mark and self.mark in _DONE:
            return "done"
        if self.struck or self.mark == _DROPPED:
            return "dropped"
        return "open" if self.box >= 0 else None


class Link(NamedTuple):
    """一个链接或图片；`kind` 是 inline、reference 或 auto。

    `dest` 到 `dest_end` 是目标在原文里的写法（引用式的在定义处，别处的定义是 -1），
    `target` 是解码之后的；`close` 是文字之后那个 `]` 的位置。
    """

    kind: str
    image: bool
    text: str
    target: str
    start: int
    end: int
    close: int
    dest: int
    dest_end: int


class Span(NamedTuple):
    """不是话的一段：fenced、indented、code、math、comment、html；`info` 是围栏的语言。"""

    kind: str
    start: int
    end: int
    info: str = ""


class Block(NamedTuple):
    """一块：paragraph、item、heading、cell、code、html、comment、rule，
    或装着别的块的 list、quote、table、footnote、container。

    `item` 是它所在的条目的 `number`，不在条目里是 -1；`depth` 是外面还有几层。
    """

    kind: str
    start: int
    end: int
    item: int
    depth: int


class Definition(NamedTuple):
    """一条引用式链接的定义；写在别处的，位置是 -1。"""

    target: str
    dest: int
    dest_end: int


@dataclass(frozen=True)
class Document:
    """解析的结果；每一列都按位置排好。"""

    text: str
    headings: tuple[Heading, ...] = ()
    items: tuple[Item, ...] = ()
    links: tuple[Link, ...] = ()
    spans: tuple[Span, ...] = ()
    blocks: tuple[Block, ...] = ()
    definitions: Mapping[str, Definition] = field(default_factory=dict)

    def line(self, position: int) -> int:
        """字符位置在第几行，从 1 数起。"""
        return bisect_right(self._lines, position)

    def line_start(self, position: int) -> int:
        """这个位置所在的行从哪里开始。"""
        return self._lines[self.line(position) - 1]

    def line_end(self, position: int) -> int:
        """这个位置所在的行到哪里为止，连同换行。"""
        line = self.line(position)
        return self._lines[line] if line < len(self._lines) else len(self.text)

    def prefix(self, item: Item) -> str:
        """记号前面、同一行里的文字：缩进、引用记号，或外层条目的记号。"""
        return self.text[self.line_start(item.start) : item.start]

    def children(self, item: Item) -> tuple[Item, ...]:
        """直接的子条目。"""
        return tuple(self._family.get(item.number, ()))

    def notes(self, item: Item) -> tuple[Block, ...]:
        """条目里第一段之后的段落、代码与表格；子条目里的不算。"""
        return tuple(self._notes.get(item.number, ()))

    @cached_property
    def link_starts(self) -> frozenset[int]:
        """链接从哪些位置开始。"""
        return frozenset(link.start for link in self.links)

    def hidden(self, position: int) -> bool:
        """这个位置是不是代码、公式、注释、HTML 或链接的目标。"""
        return within(position, self._hidden)

    @cached_property
    def blanked(self) -> str:
        """全文，代码、公式、注释与链接的目标换成等长的空白。"""
        return blank(self.text, self._hidden)

    @cached_property
    def unlinked(self) -> str:
        """同 `blanked`，链接的文字也换成空白：剩下的才是没有链接的话。"""
        return blank(self.blanked, ((k.start, k.end) for k in self.links))

    @cached_property
    def _hidden(self) -> list[tuple[int, int]]:
        """代码、公式、注释、HTML 与链接的目标，按起点排好，互不包含。"""
        ranges = [(s.start, s.end) for s in self.spans]
        ranges += [(k.start if k.kind == "auto" else k.close + 1, k.end) for k in self.links]
        ranges += [(d.dest, d.dest_end) for d in self.definitions.values()]
        return sorted(ranges)

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(m.end() for m in _NEWLINE.finditer(self.text))]

    @cached_property
    def _family(self) -> dict[int, list[Item]]:
        family: dict[int, list[Item]] = {}
        for item in self.items:
            family.setdefault(item.parent, []).append(item)
        return family

    @cached_property
    def _notes(self) -> dict[int, list[Block]]:
        notes: dict[int, list[Block]] = {}
        for block in self.blocks:
            if block.item >= 0 and block.kind in _SAID:
                notes.setdefault(block.item, []).append(block)
        return notes


def within(position: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """一个位置在不在其中一段里；各段按起点排好，互不包含。"""
    place = bisect_right(ranges, position, key=itemgetter(0)) - 1
    return place >= 0 and position < ranges[place][1]


def blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """几段文字换成等长的空白，换行照留；段与段可以重叠。"""
    pieces, at = [], 0
    for start, end in sorted(spans):
        if end > at:
            start = max(start, at)
            hidden = text[start:end]
            if "\n" in hidden or "\r" in hidden:
                hidden = re.sub(r"[^\r\n]", " ", hidden)
            else:
                hidden = " " * len(hidden)
            pieces += [text[at:start], hidden]
            at = end
    return "".join(pieces) + text[at:]


def spliced(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """几处（起, 止, 新的文字）换掉，别的字节不动；各处不许重叠。"""
    pieces, at = [], 0
    for start, end, new in sorted(edits):
        if start < at:
            raise ValueError(f"第 {start} 个字被改了两次")
        pieces += [text[at:start], new]
        at = end
    return "".join(pieces) + text[at:]


def leading(text: str, characters: str) -> int:
    """开头有几个这样的字。"""
    return len(text) - len(text.lstrip(characters))


def joined(lines: Iterable[str]) -> str:
    """几行接成一行：汉字与标点之间不加空格，其余隔一格。"""
    text = ""
    for line in lines:
        wide = text[-1:] > "\u2e7f" and (line[:1] > "\u2e7f" or text[-1] in _STOPS)
        text += line if wide or not text else f" {line}"
    return text


def one_line(text: str) -> str:
    """几行文字接成一行，行首行末的空白不要。"""
    if "\n" in text or "\r" in text:
        return joined(line.strip() for line in _NEWLINE.split(text))
    return text.strip()
