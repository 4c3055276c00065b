"""pyromark 的事件变成标题、条目、链接与块。"""

import html
import re
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from rizhi.markdown.document import (
    Block,
    Definition,
    Document,
    Heading,
    Item,
    Link,
    Span,
    joined,
    one_line,
)
from rizhi.markdown.source import (
    DESTINATION,
    Part,
    definitions,
    destination,
    events,
    label,
    parts_of,
)

_MARKER = re.compile(r"[-+*]|\d{1,9}[.)]", re.A)
# 方括号里恰有一个字符，后面是空白或行末；字母与数字多半是「[1] 文献」，只认 x；
# 行内记号（`、$、~、&）会与后面的配成一对，也不认
_BOX = re.compile(r"\[([^\w\[\]\\\r\n`$~&]|[xX])\](?=[ \t\u3000\xa0\r\n]|\Z)")
_BESIDE_STRIKE = re.compile(
    r"[（(](?:已顺延|自 ?\d)[^）)]*[）)]|【待办】"
    r"|(?:[📅📆🗓]\ufe0f?|@)\s*\d{4}-\d{1,2}-\d{1,2}|[\s*_。.！!；;，,]"
)
# 行末的反斜杠是换行，不是字；成对的才是
_HARD_BREAK = re.compile(r"(?<!\\)((?:\\\\)*)\\(?=[\r\n])")
_SPACES = " \n\t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u2029\u3000"
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def parse(text: str, offset: int = 0, known: Mapping[str, Definition] | None = None) -> Document:
    """解析 `text[offset:]`；`known` 是写在别处的引用式定义，按 `source.label` 的写法。"""
    parts = parts_of(text, offset)
    listed = definitions(parts)
    elsewhere = {name: Definition(d.target, -1, -1) for name, d in (known or {}).items()}
    if elsewhere or (listed and len(parts) > 1) or any(part.late for part in parts):
        for part in parts:
            part.events = events(part.masked, lambda _: ("", ""))
    reader = _Reader(text, elsewhere | listed)
    for part in parts:
        reader.read(part)
    return reader.document(listed, len(parts) > 1)


class _Frame(NamedTuple):
    """一层还开着的容器；`loose` 是它的列表的松紧，一个列表的条目共用一个。"""

    kind: str
    block: list[Any]
    loose: list[bool]


class _Reader:
    """走一遍事件，记下结果。"""

    def __init__(self, text: str, known: Mapping[str, Definition]) -> None:
        self.text = text
        self.known = known
        self.headings: list[Heading] = []
        self.items: list[list[Any]] = []  # 各列同 Item，末列先放列表的松紧
        self.links: list[Link] = []
        self.spans: list[Span] = []
        self.blocks: list[list[Any]] = []  # 各列同 Block
        self.reach = 0  # 读到的内容到哪里为止

    def read(self, part: Part) -> None:
        """读一份；它在哪个条目里、外面几层，由它的 `owner` 与 `depth` 说。"""
        self.part, self.at, self.source = part, part.at, part.text
        self.owners = [part.owner]
        self.frames: list[_Frame] = []
        self.depth = max(part.depth, 0)
        self.reach = part.at[0]  # 容器的内文后读，外面已经读到了末尾
        self.quotes = 0
        self.fresh = self.verbatim = False  # fresh：刚开始的条目还没有第一段
        self.leaf = ""
        for event, place in part.events:
            if event.__class__ is str:
                self._line_break(event, place["start"], place["end"])
                continue
            ((key, value),) = event.items()
            if key == "End":
                tag = value if value.__class__ is str else next(iter(value))
                _ENDS[tag](self, place["start"], place["end"])
            elif key != "Start":
                _INLINES[key](self, value, place["start"], place["end"])
            elif value.__class__ is str:
                _STARTS[value](self, None, place["start"], place["end"])
            else:
                ((tag, detail),) = value.items()
                _STARTS[tag](self, detail, place["start"], place["end"])
        for hole in part.holes.values():
            if hole.depth < 0:  # 占位没有单独成块：里面照样要读
                hole.owner, hole.depth = part.owner, self.depth + 1

    def document(self, listed: Mapping[str, Definition], merged: bool) -> Document:
        """收尾；读了不止一份的，按位置排好。"""
        items = [Item._make([*row[:-1], row[-1][0], False]) for row in self.items]
        blocks = [Block._make(row) for row in self.blocks]
        self.links.sort(key=attrgetter("start"))  # 图片外面的链接后读完
        if merged:
            items, blocks = _in_order(items, blocks)
            self.spans.sort(key=attrgetter("start"))
            self.headings.sort(key=attrgetter("start"))
        return Document(
            self.text,
            tuple(self.headings),
            tuple(items),
            tuple(self.links),
            tuple(self.spans),
            tuple(blocks),
            listed,
        )

    # -- 块 --

    def _line_break(self, event: str, start: int, end: int) -> None:
        if event == "Rule":
            self._enter()
            self._block("rule", start, end)
        else:
            self._open(start)  # 「- \\」：条目的第一行只有一个换行的记号
            self.pieces.append("\n")
            self.last = end

    def _paragraph(self, _: None, start: int, end: int) -> None:
        self._close()
        if self.frames and self.frames[-1].kind == "item":
            self.frames[-1].loose[0] = True
        self._open(start)

    def _heading(self, _: Any, start: int, end: int) -> None:
        self._enter()
        self._open(start, "heading")

    def _heading_end(self, start: int, end: int) -> None:
        self.last = end
        self._close()
        _, first, last, _, depth = self.blocks[-1]
        source = self.text[first:last]
        setext = "\n" in source or "\r" in source
        if setext:
            level = 2 if source.endswith("-") else 1
        else:
            level = len(source) - len(source.lstrip("#"))
        text = one_line("".join(self.pieces))
        self.headings.append(Heading(level, text, first, last, depth > 0, setext))

    def _push(self, kind: str, start: int) -> None:
        self._enter()
        self.quotes += kind == "quote"
        self.frames.append(_Frame(kind, self._block(kind, start, start), [False]))
        self.depth += 1

    def _leave(self, start: int, end: int) -> None:
        self._close()
        frame = self.frames.pop()
        self.quotes -= frame.kind == "quote"
        self.depth -= 1
        if frame.kind == "table":  # 行末的竖线不在任何一格里
            self.reach = self.at[start] + len(self.text[self.at[start] : self.at[end]].rstrip())
        frame.block[2] = max(self.reach, frame.block[1])

    def _item(self, _: None, start: int, end: int) -> None:
        self._enter()
        source = self.source
        start = _to_marker(source, start)
        marker = _MARKER.match(source, start)
        sign = marker[0] if marker else ""
        first = self.at[start]
        body = first + len(sign)
        parent = self.owners[-1]
        depth = self.items[parent][2] + 1 if parent >= 0 else 0
        loose = self.frames[-1].loose
        number = len(self.items)
        self.items.append(
            [number, parent, depth, first, body, body, body, sign, -1, "", "", "", False, loose]
        )
        self.owners.append(number)
        self.frames.append(_Frame("item", [], loose))
        self.reach = body
        self.fresh = True

    def _item_end(self, start: int, end: int) -> None:
        self._close()
        self.fresh = False
        self.frames.pop()
        self.items[self.owners.pop()][6] = self.reach

    def _code_block(self, kind: Any, start: int, end: int) -> None:
        self._enter()
        self.verbatim = True
        _, first, last, _, _ = self._block("code", start, end)
        if kind == "Indented":
            self.spans.append(Span("indented", first, last))
        else:
            info = self.text[first : first + 200].partition("\n")[0]
            self.spans.append(Span("fenced", first, last, info.strip("`~ \t\r")))

    def _html_block(self, _: None, start: int, end: int) -> None:
        self._enter()
        self.verbatim = True
        hole = self.part.holes.get(start)
        if hole and not hole.tail:
            hole.owner, hole.depth = self.owners[-1], self.depth + 1
            self._block("container", start, end)
            return
        if hole:
            hole.owner, hole.depth = self.owners[-1], self.depth
            end = self.source.index("-->", start) + 3
        # 段落里的引用式定义也换成了注释
        kind = "comment" if self.source.startswith(("<!--", "["), start) else "html"
        _, first, last, _, _ = self._block(kind, start, end)
        self.spans.append(Span(kind, first, last))

    def _verbatim_end(self, start: int, end: int) -> None:
        self.verbatim = False

    def _enter(self) -> None:
        """别的块开始了：前面的文字到此为止，条目也没有第一段了。"""
        if self.leaf:
            self._close()
        self.fresh = False

    def _block(self, kind: str, start: int, end: int) -> list[Any]:
        first = last = self.at[start]
        if end > start:
            last = self.at[end]
            if self.text[last - 1] in _SPACES:
                last = first + len(self.text[first:last].rstrip())
        block = [kind, first, last, self.owners[-1], self.depth]
        self.blocks.append(block)
        if last > self.reach:
            self.reach = last
        return block

    # -- 一段话 --

    def _open(self, start: int, kind: str = "") -> None:
        """一段话从这里起；已经开着的接着写。"""
        if self.leaf:
            return
        self.leaf = kind or ("item" if self.fresh else "paragraph")
        self.fresh = False
        self.begin = self.last = start
        if start and self.source[start - 1] == "\\":  # 以转义开头的一段，事件从转义的字算起
            self.begin -= 1
        self.boxed = False  # pyromark 认出了勾选框
        self.first_link = -1
        self.pieces: list[str] = []  # 去掉标记的文字
        self.marks: list[str] = []  # 还开着的强调与删除线，要照留的写法
        self.strikes: dict[int, int] = {}  # `pieces` 里的哪些是删除线：1 开，-1 合
        self.open_links: list[tuple[Any, bool, int]] = []

    def _close(self) -> None:
        if self.leaf:
            _, first, last, owner, _ = self._block(self.leaf, self.begin, self.last)
            if self.leaf == "item":
                self._fill(self.items[owner], first, last)
            self.leaf = ""

    def _fill(self, row: list[Any], start: int, end: int) -> None:
        """条目的第一段：勾选框、文字、去掉标记的文字。"""
        text, body, box = self.text, start, None
        if text[start : start + 1] == "[" and self.first_link != start:
            box = _BOX.match(text, start, end) if text[start - 1] != "\\" else None
        if box:
            row[8], row[9] = start + 1, box[1]
            body = box.end()
            body = end - len(text[body:end].lstrip())
        inside = bool(box) and not self.boxed  # 勾选框也在 pieces 里
        row[12] = bool(self.strikes) and self._strike_out(inside)
        plain = "".join(self.pieces)
        row[4], row[5] = body, end
        row[10] = self._line(body, end)
        row[11] = one_line(plain.partition("]")[2] if inside else plain)

    def _strike_out(self, inside: bool) -> bool:
        """是不是整条都划掉了；是，就去掉删除线。"""
        depth, outside = 0, []
        for n, piece in enumerate(self.pieces):
            depth += self.strikes.get(n, 0)
            if not depth and n not in self.strikes:
                outside.append(piece)
        rest = "".join(outside)
        if _BESIDE_STRIKE.sub("", rest.partition("]")[2] if inside else rest):
            return False
        for n in self.strikes:
            self.pieces[n] = ""
        return True

    def _line(self, start: int, end: int) -> str:
        """原文接成一行，去掉各行的缩进与引用记号。"""
        text = self.text[start:end]
        if "\n" not in text and "\r" not in text:
            return text
        first, *rest = re.split(r"\r\n?|\n", _HARD_BREAK.sub(r"\1", text))
        quote = re.compile(rf"[ \t]*(?:>[ \t]?){{0,{self.quotes}}}")
        return joined([first.strip(), *(quote.sub("", line, count=1).strip() for line in rest)])

    def _text(self, value: str, start: int, end: int) -> None:
        if not self.verbatim:
            self._open(start)
            # 实体的长短与它的文字不同；其余照抄原文
            self.pieces.append(
                self.source[start:end] if len(value) == end - start else html.unescape(value)
            )
            self.last = end

    def _task(self, _: bool, start: int, end: int) -> None:
        self._open(start)
        self.begin = min(self.begin, start)
        self.last = max(self.last, end)
        self.boxed = True

    def _code(self, value: str, start: int, end: int) -> None:
        source = self.source[start:end]
        body = source.strip("`")
        if len(body) > 2 and body[0] == body[-1] == " " and body.strip():
            body = body[1:-1]
        self._inline("code", body.replace("\n", " "), start, end)

    def _math(self, _: str, start: int, end: int) -> None:
        self._inline("math", self.source[start:end], start, end)

    def _inline_html(self, _: str, start: int, end: int) -> None:
        source = self.source[start:end]
        if source.startswith(("<!--", "[")):
            self._inline("comment", "", start, end)
        else:
            self._inline("html", source, start, end)

    def _inline(self, kind: str, value: str, start: int, end: int) -> None:
        self._open(start)
        self.pieces.append(value)
        self.last = end
        self.spans.append(Span(kind, self.at[start], self.at[end]))

    def _emphasised(self, count: int, start: int, end: int) -> None:
        """`__init__` 与 `2*3*4` 多半是名字与算式：这样的记号在 `plain` 里照留。"""
        sign, before = self.source[start], self.source[start - 1 : start] if start else ""
        beside = before + self.source[end : end + 1]
        named = sign == "_" or any(c.isascii() and c.isalnum() for c in beside)
        self._mark(sign * count if named else "", start)

    def _strike(self, _: None, start: int, end: int) -> None:
        double = self.source.startswith("~~", start)  # 「周一~周三~周五」没有划掉什么
        self._mark("~~" if double else "~", start)
        if double:
            self.strikes[len(self.pieces) - 1] = 1

    def _mark(self, mark: str, start: int) -> None:
        self._open(start)
        self.marks.append(mark)
        if mark:
            self.pieces.append(mark)

    def _mark_end(self, start: int, end: int) -> None:
        mark = self.marks.pop()
        if mark == "~~":
            self.strikes[len(self.pieces)] = -1
        if mark:
            self.pieces.append(mark)
        self.last = end

    def _link(self, detail: Any, start: int, end: int, image: bool = False) -> None:
        self._open(start)
        if self.first_link < 0:
            self.first_link = self.at[start]
        self.open_links.append((detail, image, len(self.pieces)))
        self.last = start + 1 + image

    def _link_end(self, start: int, end: int) -> None:
        detail, image, first = self.open_links.pop()
        text = "".join(self.pieces[first:])
        text = one_line(text) if "\n" in text else text
        kind, close, at = detail["link_type"], self.last, self.at
        self.last = end
        if kind == "Inline":
            target, dest, last = self._inline_target(detail["dest_url"], close + 2, end - 1)
            link = Link("inline", image, text, target, at[start], at[end], at[close], dest, last)
        elif kind in ("Autolink", "Email"):
            inside = at[start + 1], at[end - 1]
            target = self.source[start + 1 : end - 1]
            link = Link("auto", False, text, target, at[start], at[end], at[close], *inside)
        else:
            name = self.source[start + 1 + image : close]
            if kind.startswith("Reference"):
                name = self.source[close + 2 : end - 1]
            elif kind.startswith("Collapsed") and self.source.startswith("[]", end):
                end += 2
            known = self.known.get(label(name))
            if known is None:  # 占位分不出名字：其实没有这条定义，不是链接
                self.pieces.insert(first, "![" if image else "[")
                self.pieces.append(self.source[close:end])
                return
            link = Link(
                "reference", image, text, known.target, at[start], at[end], at[close], *known[1:]
            )
        self.links.append(link)

    def _inline_target(self, url: str, start: int, end: int) -> tuple[str, int, int]:
        """括号里的目标：解码之后的，与它在原文里的两端。"""
        if len(url) == end - start:
            return self.source[start:end], self.at[start], self.at[end]
        first, last = destination(DESTINATION.match(self.source, start, end)) or (start, start)
        target = html.unescape(_ESCAPE.sub(r"\1", self.source[first:last]))
        return target, self.at[first], self.at[last]


_Handler = Callable[..., None]


def _nothing(*_: Any) -> None:
    """这个事件里没有要记的。"""


_INLINES: Mapping[str, _Handler] = {
    "Text": _Reader._text,
    "Code": _Reader._code,
    "TaskListMarker": _Reader._task,
    "InlineMath": _Reader._math,
    "DisplayMath": _Reader._math,
    "InlineHtml": _Reader._inline_html,
    "Html": _nothing,
    "FootnoteReference": _Reader._math,
}
_STARTS: Mapping[str, _Handler] = {
    "Paragraph": _Reader._paragraph,
    "Heading": _Reader._heading,
    "List": lambda reader, _, start, __: reader._push("list", _to_marker(reader.source, start)),
    "Item": _Reader._item,
    "BlockQuote": lambda reader, _, start, __: reader._push("quote", start),
    "CodeBlock": _Reader._code_block,
    "HtmlBlock": _Reader._html_block,
    "Table": lambda reader, _, start, __: reader._push("table", start),
    "TableHead": _nothing,
    "TableRow": _nothing,
    "TableCell": lambda reader, _, start, __: reader._open(start, "cell"),
    "FootnoteDefinition": lambda reader, _, start, __: reader._push("footnote", start),
    "Emphasis": lambda reader, _, *place: reader._emphasised(1, *place),
    "Strong": lambda reader, _, *place: reader._emphasised(2, *place),
    "Strikethrough": _Reader._strike,
    "Link": _Reader._link,
    "Image": partial(_Reader._link, image=True),
}
_ENDS: Mapping[str, _Handler] = {
    "Paragraph": lambda reader, *_: reader._close(),
    "Heading": _Reader._heading_end,
    "List": _Reader._leave,
    "Item": _Reader._item_end,
    "BlockQuote": _Reader._leave,
    "CodeBlock": _Reader._verbatim_end,
    "HtmlBlock": _Reader._verbatim_end,
    "Table": _Reader._leave,
    "TableHead": _nothing,
    "TableRow": _nothing,
    "TableCell": lambda reader, *_: reader._close(),
    "FootnoteDefinition": _Reader._leave,
    "Emphasis": _Reader._mark_end,
    "Strong": _Reader._mark_end,
    "Strikethrough": _Reader._mark_end,
    "Link": _Reader._link_end,
    "Image": _Reader._link_end,
}


def _to_marker(source: str, start: int) -> int:
    """条目的记号在哪里：用制表符缩进的，pyromark 从上一行的换行、引用记号算起。"""
    while source[start] in " \t\r\n>":
        start += 1
    return start


def _in_order(items: list[Item], blocks: list[Block]) -> tuple[list[Item], list[Block]]:
    """按位置排好，条目重新编号。"""
    items.sort(key=attrgetter("start"))
    place = {item.number: n for n, item in enumerate(items)} | {-1: -1}
    renumbered = [i._replace(number=place[i.number], parent=place[i.parent]) for i in items]
    moved = [block._replace(item=place[block.item]) for block in blocks]
    return renumbered, sorted(moved, key=attrgetter("start"))
